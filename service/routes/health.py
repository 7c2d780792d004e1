"""Probes and metrics."""

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from service.errors import NotReady
from service.schemas import answer_example, problem_responses
from service.state import state_of

_READY = {
    "status": "ready",
    "redis": "up",
    "catalogs": {
        "default": {
            "model_version": "20260131T120000123456Z-0a1b2c3d",
            "num_users": 2000,
            "num_items": 800,
        }
    },
    "waiting": [],
}
_METRICS = """\
# HELP mutualrec_requests_total Requests by route, method and status.
# TYPE mutualrec_requests_total counter
mutualrec_requests_total{method="GET",route="/recommend/{user_id}",status="200"} 17.0
"""

router = APIRouter(tags=["operation"])


@router.get(
    "/health/live", summary="Is the process alive?", responses=answer_example({"status": "live"})
)
async def live() -> dict[str, str]:
    """Touches nothing: a slow Redis must not get the process killed."""
    return {"status": "live"}


@router.get(
    "/health/startup",
    summary="Has it started?",
    responses={**answer_example({"status": "started"}), **problem_responses(503)},
)
async def startup(request: Request) -> dict[str, str]:
    """200 once every catalog was looked at, loaded or not; until then nothing else is probed."""
    if not state_of(request).has_started:
        raise NotReady("the service is still loading its catalogs", retry_after_s=1)
    return {"status": "started"}


@router.get(
    "/health/ready",
    summary="Can it answer?",
    # Any: JSON.
    response_model=dict[str, Any],
    responses={**answer_example(_READY), **problem_responses(503)},
)
async def ready(request: Request) -> Response:
    """200 when a catalog can answer; `degraded` when Redis does not reply. Asked once a second."""
    state = state_of(request)
    redis = "up" if state.store is not None and await state.store.ping() else "down"
    snapshots = state.catalogs.snapshots
    if not snapshots:
        raise NotReady(
            "no catalog has an artifact that could be loaded; publish one with"
            f" `mutualrec publish`. Redis is {redis}.",
            retry_after_s=5,
        )
    content = {
        "status": "ready" if redis == "up" else "degraded",
        "redis": redis,
        "catalogs": {
            name: {
                "model_version": snapshot.version,
                "num_users": len(snapshot.artifact.user_ids),
                "num_items": len(snapshot.artifact.item_ids),
            }
            for name, snapshot in sorted(snapshots.items())
        },
        "waiting": [name for name in state.catalogs.names if name not in snapshots],
    }
    return Response(orjson.dumps(content), media_type="application/json")


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": _METRICS}}}},
)
async def metrics(request: Request) -> Response:
    """Counts and latencies by route and status, versions, swaps, fallbacks, events."""
    return Response(state_of(request).metrics.render(), media_type="text/plain; version=0.0.4")

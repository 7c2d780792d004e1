"""GET /admin/capacity."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from service.capacity import Load, estimate
from service.routes.parameters import CatalogQuery
from service.schemas import CapacityResponse, answer_example, problem_responses
from service.state import state_of

MAX_COUNT = 10**10
"""Of users, items and events: what comes of more is no JSON number."""

_EXAMPLE = {
    "catalog": "default",
    "users": 2000,
    "items": 800,
    "width": 192,
    "redis": {
        "events that wait to be drained": 1000000,
        "event ids that are remembered": 1600000,
        "histories": 3400000,
    },
    "once": {"program": 199229440},
    "per_version": {"vectors": 2150400},
    "per_worker": {
        "changed pages": 20971520,
        "ids": 560000,
        "vectors of a small catalog, transposed": 0,
    },
    "workers": 1,
    "redis_bytes": 6000000,
    "service_bytes": 225061760,
}
_Count = Annotated[int | None, Query(ge=1, le=MAX_COUNT, description="By default the version's.")]

router = APIRouter(tags=["operation"])


@router.get(
    "/admin/capacity",
    summary="Estimate the memory that is needed",
    response_model=CapacityResponse,
    responses={**answer_example(_EXAMPLE), **problem_responses(404, 422, 503)},
)
async def read_capacity(
    request: Request,
    events_per_day: Annotated[
        int, Query(ge=0, le=MAX_COUNT, description="That come in.", examples=[10_000])
    ],
    catalog: CatalogQuery = None,
    users: _Count = None,
    items: _Count = None,
    width: Annotated[
        int | None, Query(ge=1, le=100_000, description="Columns of all members together.")
    ] = None,
    active_users: Annotated[
        int | None, Query(ge=0, le=MAX_COUNT, description="With a history; by default all.")
    ] = None,
    items_per_history: Annotated[int, Query(ge=0, description="On average.")] = 50,
    drain_every_s: Annotated[
        int, Query(ge=1, le=10**8, description="Seconds between two retrainings, which drain.")
    ] = 86_400,
) -> CapacityResponse:
    """Bytes of Redis and of the service, from measured bytes per part.

    Of the size that the catalog's current version has, or any other.
    """
    state = state_of(request)
    name, snapshot = state.catalogs.snapshot(catalog)
    artifact = snapshot.artifact
    num_users = len(artifact.user_ids) if users is None else users
    load = Load(
        num_users=num_users,
        num_items=len(artifact.item_ids) if items is None else items,
        width=artifact.items.shape[1] if width is None else width,
        events_per_day=events_per_day,
        active_users=num_users if active_users is None else active_users,
        items_per_history=min(items_per_history, state.settings.history_cap),
        drain_every_s=drain_every_s,
        dedupe_ttl_s=state.settings.dedupe_ttl_s,
        workers=state.settings.workers,
    )
    needed = estimate(load)
    return CapacityResponse(
        catalog=name,
        users=load.num_users,
        items=load.num_items,
        width=load.width,
        redis=needed.redis,
        once=needed.once,
        per_version=needed.shared,
        per_worker=needed.per_worker,
        workers=needed.workers,
        redis_bytes=needed.redis_bytes,
        service_bytes=needed.service_bytes,
    )

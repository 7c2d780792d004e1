"""/admin/train: ask for a training now, and see what became of it."""

import secrets
import time
from dataclasses import asdict
from datetime import UTC, datetime

import orjson
from fastapi import APIRouter, Request, Response
from redis.asyncio import Redis

from service.errors import StoreUnavailable
from service.routes.parameters import CatalogQuery
from service.scheduling.keys import TrainingKeys
from service.scheduling.schemas import Asked, TrainingStatus
from service.scheduling.status import Run, Schedule, Status, Wish, queue_status, status_of
from service.schemas import answer_example, problem_responses
from service.state import ServiceState, state_of
from service.store.client import EventStore

router = APIRouter(prefix="/admin/train", tags=["versions"])

_WISH = {"request_id": "5f2b6c9d0e1a4f37", "requested_at": "2026-01-31T12:00:00.000Z"}
_STATUS = {
    "catalog": "default",
    "training": None,
    "last_run": {
        "state": "finished",
        "result": "refused",
        "exit_code": 20,
        "message": "refused",
        "started_at": "2026-01-31T12:00:01.120Z",
        "finished_at": "2026-01-31T12:04:38.402Z",
        "version": "20260130T120437000000Z-0a1b2c3d",
        "gate": {
            "version": "20260131T120437000000Z-9d8e7f60",
            "decision": "refused",
            "reasons": [
                "the candidate ranks worse: ndcg@20 0.0871 to 0.0792 over 941 users, a change of"
                " -0.0079 (-0.0121 to -0.0040)",
            ],
            "pinned_to": None,
        },
        "request_id": "5f2b6c9d0e1a4f37",
        "owner": "trainer-1:17",
    },
    "request": {**_WISH, "state": "done"},
    "scheduler": {
        "host": "trainer-1",
        "cron": "0 * * * *",
        "after_events": 10000,
        "next_run_at": "2026-01-31T13:00:00.000Z",
    },
}


@router.post(
    "",
    summary="Train now",
    status_code=202,
    response_model=Asked,
    responses={
        **answer_example(
            {
                "catalog": "default",
                **_WISH,
                "has_scheduler": True,
                "status": "/admin/train?catalog=default",
            },
            status=202,
        ),
        **problem_responses(404, 422, 503),
    },
)
async def ask(request: Request, catalog: CatalogQuery = None) -> Response:
    """Asks a scheduler to train the catalog now, or when the training under way has ended.

    The request is kept in Redis: it waits while no scheduler runs, and it is fulfilled by any
    training that begins after it. Asking again before that makes no second training.
    """
    store, name = _store(request, catalog)
    wish = Wish(secrets.token_hex(8), time.time_ns() // 1_000_000)

    async def write(redis: Redis) -> int:
        return await redis.hset(
            TrainingKeys(name).request,
            mapping={"id": wish.request_id, "requested_at_ms": wish.requested_at_ms},
        )

    await store.execute(write)
    status = await _read(store, name)
    where = f"/admin/train?catalog={name}"
    content = {
        "catalog": name,
        **_wish(wish),
        "has_scheduler": status.schedule is not None,
        "status": where,
    }
    return _json(content, 202)


@router.get(
    "",
    summary="What became of trainings",
    response_model=TrainingStatus,
    responses={**answer_example(_STATUS), **problem_responses(404, 422, 503)},
)
async def look(request: Request, catalog: CatalogQuery = None) -> Response:
    """Who trains now, how the newest run ended, whether a request waits, when the next is due."""
    store, name = _store(request, catalog)
    status = await _read(store, name)
    holder = status.holder
    training = None
    if holder is not None:
        training = {
            "owner": _owner(holder.owner),
            "token": holder.token,
            "lease_left_s": holder.left_s,
        }
    content = {
        "catalog": name,
        "training": training,
        "last_run": None if status.run is None else _run(status, status.run),
        "request": None if status.wish is None else _wish(status.wish) | _wish_state(status),
        "scheduler": None if status.schedule is None else _scheduler(status.schedule),
    }
    return _json(content, 200)


def _store(request: Request, catalog: str | None) -> tuple[EventStore, str]:
    state: ServiceState = state_of(request)
    name = state.catalogs.require_known(catalog)
    if state.store is None:
        raise StoreUnavailable(
            "trainings are asked for through Redis, and none is configured; start with `mutualrec"
            " serve` or set MUTUALREC_REDIS_URL",
            retry_after_s=60,
        )
    return state.store, name


async def _read(store: EventStore, catalog: str) -> Status:
    async def read(redis: Redis) -> Status:
        async with redis.pipeline(transaction=True) as pipeline:
            queue_status(pipeline, catalog)
            return status_of(await pipeline.execute())

    return await store.execute(read)


def _run(status: Status, run: Run) -> dict[str, object]:
    return {
        "state": status.run_state,
        "result": run.result,
        "exit_code": run.exit_code,
        "message": run.message,
        "started_at": _time(run.started_at_ms),
        "finished_at": _time(run.finished_at_ms),
        "version": run.version,
        "gate": None if run.judgement is None else asdict(run.judgement),
        "request_id": run.request_id or None,
        "owner": _owner(run.owner),
    }


def _wish(wish: Wish) -> dict[str, object]:
    return {"request_id": wish.request_id, "requested_at": _time(wish.requested_at_ms)}


def _wish_state(status: Status) -> dict[str, object]:
    if status.is_wished:
        return {"state": "waiting"}
    return {"state": "running" if status.run_state == "running" else "done"}


def _scheduler(schedule: Schedule) -> dict[str, object]:
    return {
        "host": schedule.host,
        "cron": schedule.cron,
        "after_events": schedule.after_events,
        "next_run_at": _time(schedule.next_run_at_ms),
    }


def _owner(owner: str) -> str:
    return owner.rpartition(":")[0]


def _time(epoch_ms: int | None) -> str | None:
    if epoch_ms is None:
        return None
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(content: object, status: int) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")

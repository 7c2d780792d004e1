"""Experiments under /admin/experiments."""

import time
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from service.errors import (
    ArtifactError,
    ExperimentConflict,
    InvalidParameter,
    StoreUnavailable,
    UnknownExperiment,
)
from service.experiments.arms import Running
from service.experiments.attribution import days_until
from service.experiments.definition import NAME_PATTERN, Experiment, ExperimentBody
from service.experiments.report import metrics, report
from service.experiments.schemas import ExperimentReport, ExperimentsResponse
from service.experiments.store import ExperimentStore
from service.routes.parameters import CatalogQuery
from service.schemas import answer_example, problem_responses
from service.snapshot import Snapshot
from service.state import ServiceState, state_of

MAX_EXPERIMENTS = 100
_DAY_S = 86_400
_OUTSIDE = (0, 0)
_PATH = "/admin/experiments/{name}"
_BODY = {
    "description": "Do diverse lists get more clicks?",
    "arms": [
        {"name": "as-it-is", "share": 0.1},
        {"name": "diverse", "share": 0.1, "rules": {"diversity": 0.4}},
    ],
}
_BODY_EXAMPLES = {
    "rules": {"summary": "More diverse lists for a tenth of the users", "value": _BODY},
    "weights": {
        "summary": "Another mixture of the ensemble's members",
        "value": {
            "arms": [
                {"name": "as-it-is", "share": 0.5},
                {"name": "less-itemcf", "share": 0.5, "weights": {"itemcf": 0.5}},
            ]
        },
    },
    "versions": {
        "summary": "An older version against the current one",
        "value": {
            "arms": [
                {"name": "current", "share": 0.5},
                {"name": "older", "share": 0.5, "version": "20260131T120000123456Z-0a1b2c3d"},
            ]
        },
    },
}
_RATE = {"count": 30, "of": 1000, "rate": 0.03, "low": 0.0211, "high": 0.0425}
_METRICS = {
    "recommendations": 1000,
    "users": 480,
    "coverage": {"items": 310, "share": 0.31},
    "popular": _RATE,
    "padded": {**_RATE, "count": 0, "rate": 0.0, "low": 0.0, "high": 0.0038},
    "degraded": {**_RATE, "count": 0, "rate": 0.0, "low": 0.0, "high": 0.0038},
    "click_through": [{"k": 1, **_RATE}],
    "conversions": [{"type": "purchase", "events": 31, **_RATE}],
}
_REPORT = {
    "name": "diversity",
    "catalog": "default",
    "description": "Do diverse lists get more clicks?",
    "state": "running",
    "started_at": "2026-01-31T12:00:00Z",
    "stopped_at": None,
    "since": "2026-01-31",
    "arms": [
        {
            "name": "as-it-is",
            "share": 0.1,
            "version": None,
            "weights": {},
            "rules": {},
            "metrics": _METRICS,
        }
    ],
    "differences": [
        {
            "metric": "click_through@10",
            "arm": "diverse",
            "against": "as-it-is",
            "value": 0.004,
            "low": -0.001,
            "high": 0.009,
            "significant": False,
        }
    ],
}
_EXPERIMENT = {
    **_BODY,
    "name": "diversity",
    "number": 1,
    "counted_from": "2026-01-31T12:00:00Z",
    "started_at": "2026-01-31T12:00:00Z",
    "stopped_at": None,
}
_ALL = {"catalog": "default", "since": "2026-01-31", "experiments": [_REPORT], "outside": _METRICS}

_Name = Annotated[str, Path(pattern=NAME_PATTERN, description="Letters, digits, '_' and '-'.")]
_Days = Annotated[
    int | None, Query(ge=1, le=3660, description="Count the last days only; by default all kept.")
]

router = APIRouter(tags=["experiments"])


@router.get(
    "/admin/experiments",
    summary="Compare the arms of all experiments",
    response_model=ExperimentsResponse,
    responses={**answer_example(_ALL), **problem_responses(404, 422, 503)},
)
async def read_experiments(
    request: Request, catalog: CatalogQuery = None, days: _Days = None
) -> ExperimentsResponse:
    """Every experiment with what became of each arm's recommendations, and of those in none."""
    state = state_of(request)
    name, store, snapshot = _parts(state, catalog)
    found = await store.all(name)
    return await _reports(state, name, store, snapshot, found, days)


@router.get(
    _PATH,
    summary="Compare the arms of an experiment",
    response_model=ExperimentReport,
    responses={**answer_example(_REPORT), **problem_responses(404, 422, 503)},
)
async def read_experiment(
    request: Request, name: _Name, catalog: CatalogQuery = None, days: _Days = None
) -> ExperimentReport:
    """What became of each arm's recommendations, and what sets the arms apart from the first."""
    state = state_of(request)
    known, store, snapshot = _parts(state, catalog)
    found = _require(await store.all(known), name)
    return (await _reports(state, known, store, snapshot, [found], days)).experiments[0]


@router.put(
    _PATH,
    summary="Define, start or stop an experiment",
    response_model=Experiment,
    responses={
        **answer_example(_EXPERIMENT),
        **problem_responses(400, 404, 409, 413, 422, 503),
    },
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": _BODY_EXAMPLES}}}},
)
async def put_experiment(
    request: Request, name: _Name, body: ExperimentBody, catalog: CatalogQuery = None
) -> Experiment:
    """Starts an experiment, or stops it with `running: false`.

    Users and sessions are put into arms by a hash of the experiment's name and their id: always
    into the same one. Nobody is in two experiments: of several, the oldest that takes somebody has
    them. With other arms, counting begins anew; all else leaves the counts alone. Other workers
    follow within the poll interval.
    """
    state = state_of(request)
    known, store, snapshot = _parts(state, catalog)
    everything = await store.all(known)
    old = next((one for one in everything if one.name == name), None)
    others = [one for one in everything if one.name != name]
    if len(others) >= MAX_EXPERIMENTS:
        raise ExperimentConflict(
            f"catalog {known!r} has {len(others)} experiments; delete one with DELETE {_PATH}"
        )
    now = datetime.now(UTC)
    same = old if old is not None and old.arms == body.arms else None
    goes_on = same is not None and (same.running or not body.running)
    experiment = Experiment(
        **dict(body),
        name=name,
        number=same.number if same else await store.next_number(known),
        counted_from=same.counted_from if same else now,
        started_at=same.started_at if same and goes_on else now,
        stopped_at=None if body.running else (same and same.stopped_at) or now,
    )
    if body.running:
        _check_room(experiment, others)
        await _check_arms(state, known, snapshot, experiment)
    await store.write(known, experiment)
    await state.experiments.refresh(known)
    return experiment


@router.delete(
    _PATH,
    summary="Stop and forget an experiment",
    status_code=204,
    responses=problem_responses(404, 422, 503),
)
async def delete_experiment(
    request: Request, name: _Name, catalog: CatalogQuery = None
) -> Response:
    """Its users are served as all others; its counts are gone. `running: false` keeps them."""
    state = state_of(request)
    known, store, _ = _parts(state, catalog)
    _require(await store.all(known), name)
    await store.delete(known, name)
    await state.experiments.refresh(known)
    return Response(status_code=204)


def _parts(state: ServiceState, catalog: str | None) -> tuple[str, ExperimentStore, Snapshot]:
    name, snapshot = state.catalogs.snapshot(catalog)
    if state.experiments.store is None:
        raise StoreUnavailable(
            "no event store is configured; start with `mutualrec serve` or set MUTUALREC_REDIS_URL",
            retry_after_s=60,
        )
    return name, state.experiments.store, snapshot


async def _reports(
    state: ServiceState,
    catalog: str,
    store: ExperimentStore,
    snapshot: Snapshot,
    experiments: list[Experiment],
    days: int | None,
) -> ExperimentsResponse:
    # What this worker counted is in the answer, what others did within their poll interval.
    await state.experiments.flush()
    kept_days = state.settings.experiment_ttl_s // _DAY_S + 1
    counted = days_until(int(time.time()), min(days or kept_days, kept_days))
    arms = {_OUTSIDE: counted}
    for one in experiments:
        first = min(one.counted_from.date().isoformat(), counted[0])
        own = [day for day in counted if day >= first]
        arms |= {(one.number, index): own for index in range(len(one.arms))}
    counts = await store.counts(catalog, arms)
    num_items = snapshot.index.num_items - len(snapshot.hidden_rows)
    return ExperimentsResponse(
        catalog=catalog,
        since=counted[-1],
        experiments=[
            report(catalog, one, counts, num_items, arms[one.number, 0][-1]) for one in experiments
        ],
        outside=metrics(counts[_OUTSIDE], num_items),
    )


def _require(experiments: list[Experiment], name: str) -> Experiment:
    for experiment in experiments:
        if experiment.name == name:
            return experiment
    known = ", ".join(one.name for one in experiments) or "none"
    raise UnknownExperiment(f"there is no experiment {name!r}; known experiments are: {known}")


def _check_room(experiment: Experiment, others: list[Experiment]) -> None:
    for other in others:
        if other.running and other.takes_everybody and other.started_at <= experiment.started_at:
            raise ExperimentConflict(
                f"experiment {other.name!r} takes every user, and nobody is in two; stop it, or"
                " give its arms shares that sum to less than 1"
            )


async def _check_arms(
    state: ServiceState, catalog: str, snapshot: Snapshot, experiment: Experiment
) -> None:
    running = Running(experiment)
    try:
        await state.experiments.load_versions(catalog, running.versions)
    except ArtifactError as error:
        raise InvalidParameter(f"an arm's version cannot be served: {error}") from error
    for arm in running.arms:
        served = snapshot if arm.version is None else state.catalogs.beside(catalog, arm.version)
        if served is not None:
            arm.check(served)

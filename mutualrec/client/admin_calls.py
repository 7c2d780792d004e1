"""What every method of the client about versions and experiments asks for."""

from collections.abc import Mapping, Sequence
from typing import cast

from mutualrec.client.call import Call, Query, encoded, path_of
from mutualrec.client.calls import get
from mutualrec.client.experiments import Arm, Experiment, ExperimentReport, ExperimentReports
from mutualrec.client.options import InCatalog, checked
from service.publishing.schemas import Moved, Pruned, VersionDifference, VersionList
from service.scheduling.schemas import Asked, TrainingStatus
from service.schemas import CapacityResponse

_VERSIONS = "/v1/admin/versions"
_EXPERIMENTS = "/v1/admin/experiments"
_TRAIN = "/v1/admin/train"
_CAPACITY = "/v1/admin/capacity"


class DayOptions(InCatalog, total=False):
    """`days` counts only the last ones."""

    days: int


class PruneOptions(InCatalog, total=False):
    """Versions younger than `older_than_days` stay; `dry_run` only says what would be deleted."""

    older_than_days: float
    dry_run: bool


class CapacityOptions(InCatalog, total=False):
    """A size other than that of the version, and how it is used."""

    users: int
    items: int
    width: int
    active_users: int
    items_per_history: int
    drain_every_s: int


def versions(options: Mapping[str, object]) -> Call[VersionList]:
    """GET /admin/versions."""
    return get(_VERSIONS, VersionList, options, InCatalog)


def diff(old: str, new: str, options: Mapping[str, object]) -> Call[VersionDifference]:
    """GET /admin/versions/diff."""
    query = cast(Query, checked(options, InCatalog) | {"old": old, "new": new})
    return Call("GET", _VERSIONS + "/diff", VersionDifference, query)


def promote(version: str, options: Mapping[str, object]) -> Call[Moved]:
    """POST /admin/versions/{version}/promote."""
    return _move("POST", path_of(version) + "/promote", options)


def pin(version: str, options: Mapping[str, object]) -> Call[Moved]:
    """POST /admin/versions/{version}/pin."""
    return _move("POST", path_of(version) + "/pin", options)


def unpin(options: Mapping[str, object]) -> Call[Moved]:
    """DELETE /admin/versions/pin."""
    return _move("DELETE", "/pin", options)


def rollback(options: Mapping[str, object]) -> Call[Moved]:
    """POST /admin/versions/rollback: twice goes back twice."""
    return _move("POST", "/rollback", options, idempotent=False)


def prune(keep: int, options: Mapping[str, object]) -> Call[Pruned]:
    """POST /admin/versions/prune: a repetition would tell of nothing deleted."""
    body = checked(options, PruneOptions) | {"keep": keep}
    query = {"catalog": cast("str | None", body.pop("catalog", None))}
    route = _VERSIONS + "/prune"
    return Call("POST", route, Pruned, query, encoded(body), idempotent=False)


def capacity(events_per_day: int, options: Mapping[str, object]) -> Call[CapacityResponse]:
    """GET /admin/capacity."""
    query = cast(Query, checked(options, CapacityOptions) | {"events_per_day": events_per_day})
    return Call("GET", _CAPACITY, CapacityResponse, query)


def train(options: Mapping[str, object]) -> Call[Asked]:
    """POST /admin/train: asking twice before it begins makes one training."""
    query = cast(Query, checked(options, InCatalog))
    return Call("POST", _TRAIN, Asked, query, status=202)


def training(options: Mapping[str, object]) -> Call[TrainingStatus]:
    """GET /admin/train."""
    return get(_TRAIN, TrainingStatus, options, InCatalog)


def experiments(options: Mapping[str, object]) -> Call[ExperimentReports]:
    """GET /admin/experiments."""
    return get(_EXPERIMENTS, ExperimentReports, options, DayOptions)


def experiment(name: str, options: Mapping[str, object]) -> Call[ExperimentReport]:
    """GET /admin/experiments/{name}."""
    return get(_EXPERIMENTS + path_of(name), ExperimentReport, options, DayOptions)


def put_experiment(
    name: str,
    arms: Sequence[Arm],
    description: str,
    options: Mapping[str, object],
    *,
    running: bool,
) -> Call[Experiment]:
    """PUT /admin/experiments/{name}."""
    body = {
        "arms": [arm.model_dump(mode="json", include=set(Arm.model_fields)) for arm in arms],
        "description": description,
        "running": running,
    }
    query = cast(Query, checked(options, InCatalog))
    return Call("PUT", _EXPERIMENTS + path_of(name), Experiment, query, encoded(body))


def delete_experiment(name: str, options: Mapping[str, object]) -> Call[None]:
    """DELETE /admin/experiments/{name}: a repetition would find nothing and say so."""
    query = cast(Query, checked(options, InCatalog))
    route = _EXPERIMENTS + path_of(name)
    return Call("DELETE", route, type(None), query, idempotent=False, status=204)


def _move(
    method: str, place: str, options: Mapping[str, object], *, idempotent: bool = True
) -> Call[Moved]:
    query = cast(Query, checked(options, InCatalog))
    return Call(method, _VERSIONS + place, Moved, query, idempotent=idempotent)

"""/admin/versions: list, compare, promote, roll back, pin and prune the versions of a catalog."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, TypeVar

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.artifact import (
    compare_versions,
    current_version,
    describe_versions,
    load_artifact,
    pin,
    previous_version,
    promote,
    prune_versions,
    unpin,
)
from service.errors import (
    ArtifactError,
    ArtifactNameInvalid,
    ArtifactNotFound,
    ArtifactsReadOnly,
    InvalidParameter,
    UnknownVersion,
    VersionConflict,
)
from service.experiments.store import ExperimentStore
from service.publishing.listing import ListedVersion
from service.publishing.schemas import Moved, Pruned, VersionDifference, VersionList
from service.routes.parameters import CatalogQuery
from service.schemas import answer_example, problem_responses
from service.state import ServiceState, state_of

router = APIRouter(prefix="/admin/versions", tags=["versions"])

_T = TypeVar("_T")
_VERSION = "20260131T120000123456Z-0a1b2c3d"
_BEFORE = "20260130T120000123456Z-9f8e7d6c"
_MOVED = answer_example({"catalog": "default", "current": _VERSION, "before": _BEFORE})
_LISTED = {
    "version": _VERSION,
    "state": "current",
    "pinned": False,
    "created_at": "2026-01-31T12:00:00.123456+00:00",
    "ensemble": "concat",
    "members": ["micro", "lightgcn", "itemcf"],
    "metrics": {"validation": {"recall@20": 0.2911}, "test": {"recall@20": 0.3048}},
    "gate": None,
}
_DIFFERENCE = {
    "old": _BEFORE,
    "new": _VERSION,
    "metrics": [{"name": "test.recall@20", "old": 0.2987, "new": 0.3048}],
    "data": [{"name": "num_interactions", "old": 118_551, "new": 120_407}],
    "settings": [],
}
_PRUNED = {
    "catalog": "default",
    "deleted": [_BEFORE],
    "kept": [
        {
            "version": "20260129T120000123456Z-1b2c3d4e",
            "reason": "running experiments serve it (experiment/arm): age/older",
        }
    ],
}
VersionName = Annotated[str, StringConstraints(pattern=r"^[0-9]{8}T[0-9]{12}Z-[0-9a-f]{8}$")]


class PruneRequest(BaseModel):
    """The newest `keep` versions stay, and all that are younger than `older_than_days`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"keep": 10, "older_than_days": 30, "dry_run": True}},
    )

    keep: Annotated[int, Field(strict=True, ge=1, le=10_000)]
    older_than_days: Annotated[float, Field(strict=True, ge=0, le=36_500)] = 0.0
    dry_run: Annotated[bool, Field(strict=True)] = False


@router.get(
    "",
    summary="List versions",
    response_model=VersionList,
    responses={
        **answer_example({"catalog": "default", "versions": [_LISTED]}),
        **problem_responses(404, 422),
    },
)
async def list_all(request: Request, catalog: CatalogQuery = None) -> Response:
    """Every version with its metrics and what the gate found, refused ones included."""
    state, name = _catalog(request, catalog)
    listed = await _act(lambda: describe_versions(state.settings.artifacts, name))
    return _json({"catalog": name, "versions": [_entry(one) for one in listed]})


@router.get(
    "/diff",
    summary="Compare two versions",
    response_model=VersionDifference,
    responses={**answer_example(_DIFFERENCE), **problem_responses(404, 409, 422)},
)
async def compare(
    request: Request,
    old: Annotated[VersionName, Query(description="A version.", examples=[_VERSION])],
    new: Annotated[VersionName, Query(description="Another one.", examples=[_VERSION])],
    catalog: CatalogQuery = None,
) -> Response:
    """Metrics, data and settings in which `new` differs from `old`."""
    state, name = _catalog(request, catalog)
    return _json(
        asdict(await _act(lambda: compare_versions(state.settings.artifacts, name, old, new)))
    )


@router.post(
    "/rollback",
    summary="Go back to the version before",
    response_model=Moved,
    responses={**_MOVED, **problem_responses(404, 409, 422, 503)},
)
async def roll_back(request: Request, catalog: CatalogQuery = None) -> Response:
    """Makes the newest older version that was in service the current one."""
    state, name = _catalog(request, catalog)
    target = await _act(lambda: previous_version(state.settings.artifacts, name))
    return await _move(state, name, target)


@router.post(
    "/prune",
    summary="Delete old versions",
    response_model=Pruned,
    responses={
        **answer_example(_PRUNED),
        **problem_responses(400, 404, 409, 413, 422, 503),
    },
)
async def prune(request: Request, given: PruneRequest, catalog: CatalogQuery = None) -> Response:
    """Deletes by count and age; the current, the pinned and the one before always stay.

    So does a version that an arm of a running experiment serves: `kept` says which.
    """
    state, name = _catalog(request, catalog)
    needed: dict[str, str] = {}
    if state.store is not None:
        needed = await ExperimentStore(state.store).versions_needed(name)
    pruned = await _act(
        lambda: prune_versions(
            state.settings.artifacts,
            name,
            keep=given.keep,
            older_than=timedelta(days=given.older_than_days),
            needed=needed,
            dry_run=given.dry_run,
        )
    )
    if pruned.deleted and not given.dry_run and state.erasures is not None:
        await state.erasures.lift(name, state.settings.artifacts)
    kept = [{"version": version, "reason": reason} for version, reason in pruned.kept.items()]
    return _json({"catalog": name, "deleted": pruned.deleted, "kept": kept})


@router.delete(
    "/pin",
    summary="Unpin",
    response_model=Moved,
    responses={
        **answer_example({"catalog": "default", "current": _VERSION}),
        **problem_responses(404, 409, 422, 503),
    },
)
async def remove_pin(request: Request, catalog: CatalogQuery = None) -> Response:
    """Lets the catalog follow retrainings again."""
    state, name = _catalog(request, catalog)
    root = state.settings.artifacts
    await _act(lambda: unpin(root, name))
    current = await _act(lambda: current_version(root, name))
    return _json({"catalog": name, "current": current or ""})


@router.post(
    "/{version}/promote",
    summary="Make a version current",
    response_model=Moved,
    responses={**_MOVED, **problem_responses(404, 409, 422, 503)},
)
async def promote_one(
    request: Request, version: VersionName, catalog: CatalogQuery = None
) -> Response:
    """Any complete version, refused ones too: you have looked at it and know better."""
    state, name = _catalog(request, catalog)
    return await _move(state, name, version)


@router.post(
    "/{version}/pin",
    summary="Stay at a version",
    response_model=Moved,
    responses={**_MOVED, **problem_responses(404, 409, 422, 503)},
)
async def pin_one(request: Request, version: VersionName, catalog: CatalogQuery = None) -> Response:
    """Makes it current and keeps it so: retrainings go on, but nothing replaces it."""
    state, name = _catalog(request, catalog)
    return await _move(state, name, version, pinned=True)


async def _move(
    state: ServiceState, catalog: str, version: str, *, pinned: bool = False
) -> Response:
    root = state.settings.artifacts

    def move() -> str | None:
        load_artifact(root, catalog, version)  # one that does not load must not become current
        before = current_version(root, catalog) if pinned else promote(root, catalog, version)
        if pinned:
            pin(root, catalog, version)
        state.catalogs.refresh()
        return before

    before = await _act(move)
    if state.versions is not None:
        await state.versions.announce(catalog)
    content = {"catalog": catalog, "current": version, "before": before}
    return _json({**content, "pinned": version} if pinned else content)


async def _act(work: Callable[[], _T]) -> _T:
    """Runs it in a thread; what it says of artifacts becomes an answer."""
    try:
        return await asyncio.to_thread(work)
    except ArtifactNameInvalid as error:
        raise InvalidParameter(str(error)) from error
    except ArtifactNotFound as error:
        raise UnknownVersion(str(error)) from error
    except ArtifactError as error:
        raise VersionConflict(str(error)) from error
    except OSError as error:
        raise ArtifactsReadOnly(
            f"{error.filename}: {error.strerror}; use `mutualrec versions` where the artifact"
            " folder can be written, or let this service write into it",
            retry_after_s=60,
        ) from error


def _catalog(request: Request, catalog: str | None) -> tuple[ServiceState, str]:
    state = state_of(request)
    return state, state.catalogs.require_known(catalog)


def _entry(listed: ListedVersion) -> dict[str, object]:
    entry: dict[str, object] = {
        "version": listed.version,
        "state": listed.state,
        "pinned": listed.pinned,
    }
    manifest = listed.manifest
    if manifest is not None:
        entry |= {
            "created_at": manifest.created_at.isoformat(),
            "ensemble": manifest.ensemble,
            "members": [member.model for member in manifest.members],
            "metrics": manifest.metrics,
            "gate": None if manifest.gate is None else manifest.gate.model_dump(mode="json"),
        }
    return entry


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")

"""GET, PUT, PATCH and DELETE /items/{item_id}."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from pydantic import JsonValue

from service.errors import InvalidParameter, StoreUnavailable, UnknownItem
from service.item_change import ItemChange
from service.items.extended import checked_value
from service.routes.ids import path_id
from service.routes.parameters import CatalogQuery
from service.schemas import ItemPatch, ItemResponse, ItemState, problem_responses
from service.snapshot import Snapshot
from service.state import ServiceState, state_of
from service.store.items import ItemStore

_ATTEMPTS = 5
_PATH = "/items/{item_id:opaque}"
_EXAMPLE = {
    "item_id": "i42",
    "recommendable": True,
    "trained": False,
    "hidden": False,
    "metadata": {"title": "A new lamp", "category": "lamps"},
}
# Any: FastAPI takes free-form OpenAPI fragments.
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"example": _EXAMPLE}}}
}

router = APIRouter(tags=["items"])


@router.get(
    _PATH,
    summary="Read an item",
    response_model=ItemResponse,
    responses={**_ANSWER, **problem_responses(400, 404, 422, 503)},
)
async def read_item(
    request: Request,
    item_id: str,  # noqa: ARG001  # documented here, read from the raw path
    catalog: CatalogQuery = None,
) -> Response:
    """What the catalog says of an item. Item ids are opaque; percent-encode them, `/` included."""
    state, item = state_of(request), _item_id(request)
    name, snapshot = state.catalogs.snapshot(catalog)
    change = snapshot.changes.get(item)
    if (change is not None and change.deleted) or item not in snapshot.item_rows:
        raise _unknown(name, item)
    return _answer(snapshot, item)


@router.put(
    _PATH,
    summary="Add or replace an item",
    response_model=ItemResponse,
    responses={**_ANSWER, **problem_responses(400, 404, 413, 422, 503)},
)
async def put_item(
    request: Request,
    item_id: str,  # noqa: ARG001  # documented here, read from the raw path
    given: ItemState,
    catalog: CatalogQuery = None,
) -> Response:
    """A new item is recommendable at once if it resembles known ones, by vectors or category.

    `features` are vectors of the catalog's modalities, `metadata` values of its fields. Of an item
    that the version was trained with, the trained vector stays, and fields that are not given keep
    the values they were published with.
    """
    state, item = state_of(request), _item_id(request)
    name, snapshot = state.catalogs.snapshot(catalog)
    features = _checked_features(snapshot, given.features)
    metadata = _checked_metadata(snapshot, given.metadata)

    def replaced(old: ItemChange) -> ItemChange:
        return ItemChange(item, old.number, False, given.hidden, metadata, features)

    return await _change(state, name, item, replaced)


@router.patch(
    _PATH,
    summary="Change an item",
    response_model=ItemResponse,
    responses={**_ANSWER, **problem_responses(400, 404, 413, 422, 503)},
)
async def patch_item(
    request: Request,
    item_id: str,  # noqa: ARG001  # documented here, read from the raw path
    given: ItemPatch,
    catalog: CatalogQuery = None,
) -> Response:
    """Changes what is given and leaves the rest; `hidden` takes an item out of all lists."""
    state, item = state_of(request), _item_id(request)
    name, snapshot = state.catalogs.snapshot(catalog)
    features = _checked_features(snapshot, given.features)
    metadata = _checked_metadata(snapshot, given.metadata)

    def changed(old: ItemChange) -> ItemChange:
        known = old.number > 0 or item in snapshot.item_rows
        if old.deleted or not known:
            raise _unknown(name, item)
        return replace(
            old,
            hidden=old.hidden if given.hidden is None else given.hidden,
            metadata={**old.metadata, **metadata},
            features={**old.features, **features},
        )

    return await _change(state, name, item, changed)


@router.delete(
    _PATH,
    status_code=204,
    summary="Delete an item",
    responses={
        204: {"description": "It is in no list any more"},
        **problem_responses(400, 404, 422, 503),
    },
)
async def delete_item(
    request: Request,
    item_id: str,  # noqa: ARG001  # documented here, read from the raw path
    catalog: CatalogQuery = None,
) -> Response:
    """Takes an item out of all lists, of later versions too, until it is put again."""
    state, item = state_of(request), _item_id(request)
    name, snapshot = state.catalogs.snapshot(catalog)

    def deleted(old: ItemChange) -> ItemChange:
        if old.deleted or (old.number == 0 and item not in snapshot.item_rows):
            raise _unknown(name, item)
        return ItemChange(item, old.number, deleted=True)

    await _change(state, name, item, deleted)
    return Response(status_code=204)


async def _change(
    state: ServiceState, catalog: str, item_id: str, change: Callable[[ItemChange], ItemChange]
) -> Response:
    """Writes what `change` makes of the item's state, and answers when this worker serves it."""
    store = _item_store(state)
    for _ in range(_ATTEMPTS):
        old = await store.read(catalog, item_id) or ItemChange(item_id, 0)
        if await store.write(catalog, change(old)):
            break
    else:
        raise StoreUnavailable(
            f"item {item_id!r} is being changed by others all the time; send it again",
            retry_after_s=1,
        )
    assert state.follower is not None
    await state.follower.catch_up(catalog)
    return _answer(state.catalogs.snapshot(catalog)[1], item_id)


def _item_store(state: ServiceState) -> ItemStore:
    if state.items is None:
        raise StoreUnavailable(
            "no store is configured; start with `mutualrec serve` or set MUTUALREC_REDIS_URL",
            retry_after_s=60,
        )
    return state.items


def _item_id(request: Request) -> str:
    return path_id(request, b"/items/", "item")


def _unknown(catalog: str, item_id: str) -> UnknownItem:
    return UnknownItem(f"catalog {catalog!r} has no item {item_id!r}; PUT adds it")


def _checked_features(
    snapshot: Snapshot, given: Mapping[str, list[float]] | None
) -> dict[str, NDArray[np.float32]]:
    known = snapshot.artifact.features
    checked = {}
    for name, values in (given or {}).items():
        if name not in known:
            raise InvalidParameter(
                f"features: version {snapshot.version} has no vectors of {name!r}, only of:"
                f" {', '.join(sorted(known)) or 'nothing'}"
            )
        width = known[name].shape[1]
        # Too large for float32 is infinite here, and refused with the rest.
        with np.errstate(over="ignore"):
            vector = np.array(values, np.float32)
        if vector.shape != (width,) or not np.isfinite(vector).all():
            raise InvalidParameter(
                f"features.{name} has {len(values)} numbers, expected {width} finite ones of the"
                " encoder that the catalog's vectors are from"
            )
        checked[name] = vector
    return checked


def _checked_metadata(
    snapshot: Snapshot, given: Mapping[str, JsonValue] | None
) -> Mapping[str, JsonValue]:
    table = snapshot.artifact.item_metadata
    schema = pa.schema([]) if table is None else table.schema
    for name, value in (given or {}).items():
        checked_value(schema, name, value)
    return given or {}


def _answer(snapshot: Snapshot, item_id: str) -> Response:
    row = snapshot.item_rows.get(item_id)
    change = snapshot.changes.get(item_id)
    table = snapshot.artifact.item_metadata
    content = {
        "item_id": item_id,
        "recommendable": row is not None and row not in snapshot.hidden_rows,
        "trained": row is not None and row < snapshot.num_trained,
        "hidden": change is not None and change.hidden,
        "metadata": {} if table is None or row is None else table.slice(row, 1).to_pylist()[0],
    }
    # Metadata may hold values JSON does not know, such as decimals: they become text.
    return Response(orjson.dumps(content, default=str), media_type="application/json")

"""GET, PUT, PATCH and DELETE /items/{item_id}."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import orjson
import pyarrow as pa
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from pydantic import JsonValue

from service.encoding.texts import encode_texts, with_columns
from service.errors import InvalidParameter, StoreUnavailable, UnknownItem
from service.item_change import ItemChange
from service.items.extended import checked_value
from service.routes.ids import path_id
from service.routes.parameters import CatalogQuery
from service.schemas import ItemPatch, ItemResponse, ItemState, answer_example, problem_responses
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
_PUT_EXAMPLES = {
    "category": {
        "summary": "An item that is like others of its category",
        "value": {"metadata": {"title": "A new lamp", "category": "lamps"}},
    },
    "vector": {
        "summary": "With a vector of a modality, from the encoder of the catalog's own",
        "value": {"metadata": {"title": "A new lamp"}, "features": {"image": [0.12, -0.03, 0.4]}},
    },
    "text": {
        "summary": "With a text that the service encodes",
        "value": {"texts": {"text": "A brass table lamp with a linen shade"}},
    },
}
_ANSWER = answer_example(_EXAMPLE)

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
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": _PUT_EXAMPLES}}}},
)
async def put_item(
    request: Request,
    item_id: str,  # noqa: ARG001  # documented here, read from the raw path
    given: ItemState,
    catalog: CatalogQuery = None,
) -> Response:
    """A new item is recommendable at once if it resembles known ones, by vectors or category.

    `features` are vectors of the catalog's modalities, `metadata` values of its fields. `texts` are
    encoded as the catalog's own were, if the service has their encoder, and kept in their column.
    Of an item that the version was trained with, the trained vector stays, and fields that are not
    given keep the values they were published with.
    """
    state, item = state_of(request), _item_id(request)
    name, snapshot = state.catalogs.snapshot(catalog)
    said = await _checked(state, snapshot, given)

    def replaced(old: ItemChange) -> ItemChange:
        return replace(said, item_id=item, number=old.number, hidden=given.hidden)

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
    said = await _checked(state, snapshot, given)

    def changed(old: ItemChange) -> ItemChange:
        known = old.number > 0 or item in snapshot.item_rows
        if old.deleted or not known:
            raise _unknown(name, item)
        return replace(
            old,
            hidden=old.hidden if given.hidden is None else given.hidden,
            metadata={**old.metadata, **said.metadata},
            features={**old.features, **said.features},
            encoders={
                **{of: one for of, one in old.encoders.items() if of not in said.features},
                **said.encoders,
            },
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


async def _checked(
    state: ServiceState, snapshot: Snapshot, given: ItemState | ItemPatch
) -> ItemChange:
    """What was given, its texts encoded, of no item yet."""
    features = _checked_features(snapshot, given.features)
    texts = given.texts or {}
    if not texts:
        metadata = _checked_metadata(snapshot, given.metadata)
        return ItemChange("", 0, False, False, metadata, features)
    twice = sorted(features.keys() & texts.keys())
    if twice:
        raise InvalidParameter(f"{twice[0]} is in features and in texts; give one of them")
    vectors = await asyncio.to_thread(encode_texts, state.encoder, snapshot, texts)
    metadata = _checked_metadata(snapshot, with_columns(snapshot, texts, given.metadata or {}))
    encoders = {name: snapshot.artifact.manifest.encoders[name].digest for name in texts}
    return ItemChange("", 0, False, False, metadata, {**features, **vectors}, encoders)


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

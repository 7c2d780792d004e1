"""Lists that belong to nobody: GET /popular and GET /similar/{item_id}."""

import asyncio
import time
from functools import partial
from typing import Annotated, Any

import numpy as np
import orjson
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray

from service.categories import category_filter
from service.errors import UnknownItem
from service.filters import parse_filter
from service.items_json import with_metadata
from service.routes.ids import path_id
from service.routes.parameters import (
    CatalogQuery,
    FilterQuery,
    KQuery,
    MetadataQuery,
    checked_k,
)
from service.rules.candidates import Mask, Ranked, best
from service.schemas import PopularResponse, SimilarResponse, answer_example, problem_responses
from service.similar import LEARNED
from service.snapshot import Snapshot
from service.state import state_of

_ITEM = {"item_id": "i42", "score": 812.5, "rank": 1}
_POPULAR = {
    "model_version": "20260131T120000123456Z-0a1b2c3d",
    "catalog": "default",
    "as_of": "2026-01-30",
    "items": [_ITEM],
    "took_ms": 0.4,
}
_SIMILAR = {
    "item_id": "i7",
    "by": "image",
    "model_version": "20260131T120000123456Z-0a1b2c3d",
    "catalog": "default",
    "items": [_ITEM | {"score": 0.91}],
    "took_ms": 0.4,
}

router = APIRouter(tags=["lists"])


@router.get(
    "/popular",
    summary="Popular and trending items",
    response_model=PopularResponse,
    responses={
        **answer_example(_POPULAR),
        **problem_responses(404, 422, 503),
    },
)
async def popular(
    request: Request,
    k: KQuery = None,
    catalog: CatalogQuery = None,
    half_life_days: Annotated[
        float | None,
        Query(
            gt=0,
            le=36_500,
            allow_inf_nan=False,
            description="An interaction of that age counts half; a few days show what is trending.",
        ),
    ] = None,
    window_days: Annotated[
        int | None, Query(ge=1, le=36_500, description="Older interactions do not count.")
    ] = None,
    category: Annotated[
        str | None, Query(description="Only items of this category.", min_length=1)
    ] = None,
    category_field: Annotated[
        str | None, Query(description="The field it is looked for in; by default the catalog's.")
    ] = None,
    filter: FilterQuery = None,
    metadata: MetadataQuery = False,
) -> Response:
    """The items with the most interactions, by the weights of their types.

    Ages count from `as_of`, the newest day in the data of the version. Without decay and window
    the score is the number of users. Items without interactions are not listed.
    """
    start = time.perf_counter()
    state = state_of(request)
    wanted = checked_k(k, state.settings)
    name, snapshot = state.catalogs.snapshot(catalog)

    def work() -> Ranked:
        allowed = _allowed(snapshot, filter)
        if category is not None:
            expression = category_filter(snapshot, category, category_field)
            allowed &= snapshot.columns.allowed(expression).mask
        scores = snapshot.trends.scores(half_life_days, window_days)
        return _best(scores, allowed & (scores > 0), wanted)

    found = await asyncio.get_running_loop().run_in_executor(state.searches, work)
    as_of = snapshot.trends.as_of
    content = {
        "model_version": snapshot.version,
        "catalog": name,
        "as_of": None if as_of is None else as_of.isoformat(),
        "items": _items(snapshot, found, metadata=metadata),
        "took_ms": round((time.perf_counter() - start) * 1000, 3),
    }
    return Response(orjson.dumps(content, default=str), media_type="application/json")


@router.get(
    "/similar/{item_id:opaque}",
    summary="Items like an item",
    response_model=SimilarResponse,
    responses={
        **answer_example(_SIMILAR),
        **problem_responses(400, 404, 422, 503),
    },
)
async def similar(
    request: Request,
    item_id: str,  # noqa: ARG001  # documented here, read from the raw path
    k: KQuery = None,
    catalog: CatalogQuery = None,
    by: Annotated[
        str, Query(description="`learned`, or a modality whose vectors the version has.")
    ] = LEARNED,
    filter: FilterQuery = None,
    metadata: MetadataQuery = False,
) -> Response:
    """The items most similar to one: to the models that learned them, or in one modality.

    The score is a cosine, -1 to 1. An item without a vector in the modality has none that is
    similar. Item ids are opaque; percent-encode them, `/` included.
    """
    start = time.perf_counter()
    state = state_of(request)
    wanted = checked_k(k, state.settings)
    name, snapshot = state.catalogs.snapshot(catalog)
    item = path_id(request, b"/similar/", "item")
    row = snapshot.item_rows.get(item)
    if row is None:
        raise UnknownItem(
            f"catalog {name!r} has no item {item!r}; add it with PUT /items/{{item_id}}, or import"
            " it and train"
        )
    work = partial(_similar, snapshot, row, by, filter, wanted)
    found = await asyncio.get_running_loop().run_in_executor(state.searches, work)
    content = {
        "item_id": item,
        "by": by,
        "model_version": snapshot.version,
        "catalog": name,
        "items": _items(snapshot, found, metadata=metadata),
        "took_ms": round((time.perf_counter() - start) * 1000, 3),
    }
    return Response(orjson.dumps(content, default=str), media_type="application/json")


def _similar(snapshot: Snapshot, row: int, by: str, filter: str | None, k: int) -> Ranked:
    similarities = snapshot.similarity.to_item(row, by)
    comparable = snapshot.similarity.comparable(by)
    allowed = _allowed(snapshot, filter) & comparable & comparable[row]
    allowed[row] = False
    return _best(similarities, allowed, k)


def _allowed(snapshot: Snapshot, filter: str | None) -> Mask:
    if filter is None:
        mask = np.ones(snapshot.index.num_items, np.bool_)
    else:
        mask = snapshot.columns.allowed(parse_filter(filter)).mask.copy()
    mask[snapshot.hidden_rows] = False
    return mask


def _best(scores: NDArray[np.floating], allowed: Mask, k: int) -> Ranked:
    rows = np.flatnonzero(allowed)
    return best(scores[rows], rows, k)


# Any: JSON.
def _items(snapshot: Snapshot, found: Ranked, *, metadata: bool) -> list[dict[str, Any]]:
    item_ids = snapshot.artifact.item_ids
    scores, rows = found[0].tolist(), found[1].tolist()
    items: list[dict[str, Any]] = [
        {"item_id": item_ids[row], "score": score, "rank": rank}
        for rank, (score, row) in enumerate(zip(scores, rows, strict=True), start=1)
    ]
    return with_metadata(snapshot, rows, items) if metadata else items

"""GET /recommend/{user_id}."""

import asyncio
import time
import uuid
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from service.events import Identifier
from service.filters import parse_filter
from service.histories import read_history
from service.items_json import with_metadata
from service.metrics import timed
from service.recommend import recommend
from service.recommended import Recommended
from service.routes.ids import path_id
from service.routes.parameters import (
    CatalogQuery,
    FilterQuery,
    KQuery,
    MetadataQuery,
    checked_k,
)
from service.rules import Rules
from service.schemas import RecommendResponse, problem_responses
from service.snapshot import Snapshot
from service.state import ServiceState, state_of

INLINE_SEARCH_S = 0.001

_EXAMPLE = {
    "user_id": "u1",
    "recommendation_id": "5d2c8c54a1f14b6f8a3f0c6c1f9a2b7e",
    "model_version": "20260131T120000123456Z-0a1b2c3d",
    "catalog": "default",
    "items": [
        {"item_id": "i42", "score": 3.17, "rank": 1, "source": "model"},
        {"item_id": "i7", "score": 120.0, "rank": 2, "source": "popular"},
    ],
    "next_cursor": None,
    "degraded": False,
    "took_ms": 0.8,
}
_SESSION_EXAMPLE = {**_EXAMPLE, "user_id": None, "session_id": "s1"}

_ExcludeSeen = Annotated[
    bool, Query(description="Leave out what the user has; negative items never come.")
]


@dataclass(frozen=True)
class _Asked:
    """What a request asks for."""

    user_id: str | None
    session_id: str | None
    k: int | None
    catalog: str | None
    exclude_seen: bool
    metadata: bool
    filter: str | None


router = APIRouter(tags=["recommendations"])


@router.get(
    "/recommend/{user_id:opaque}",
    summary="Recommend items to a user",
    response_model=RecommendResponse,
    responses={
        200: {"content": {"application/json": {"example": _EXAMPLE}}},
        **problem_responses(400, 404, 422, 503),
    },
)
async def recommend_to_user(
    request: Request,
    user_id: str,  # noqa: ARG001  # documented here, read from the raw path
    session_id: Annotated[
        Identifier | None, Query(description="The session they are in: what it did counts too.")
    ] = None,
    k: KQuery = None,
    catalog: CatalogQuery = None,
    exclude_seen: _ExcludeSeen = True,
    metadata: MetadataQuery = False,
    filter: FilterQuery = None,
) -> Response:
    """The best items for a user, as of the latest interaction.

    Unknown users get popular items. `source` says per item where it comes from. When Redis does
    not reply, the answer is made without the latest interactions and says `degraded`. User ids are
    opaque; percent-encode them, `/` included.
    """
    user = path_id(request, b"/recommend/", "user")
    asked = _Asked(user, session_id, k, catalog, exclude_seen, metadata, filter)
    return await _answer(state_of(request), asked)


@router.get(
    "/recommend",
    summary="Recommend items to a session",
    response_model=RecommendResponse,
    responses={
        200: {"content": {"application/json": {"example": _SESSION_EXAMPLE}}},
        **problem_responses(400, 404, 422, 503),
    },
)
async def recommend_to_session(
    request: Request,
    session_id: Annotated[Identifier, Query(description="Whatever their events said.")],
    k: KQuery = None,
    catalog: CatalogQuery = None,
    exclude_seen: _ExcludeSeen = True,
    metadata: MetadataQuery = False,
    filter: FilterQuery = None,
) -> Response:
    """The best items for someone who has not said who they are, from what their session did.

    A session that did nothing yet gets popular items.
    """
    asked = _Asked(None, session_id, k, catalog, exclude_seen, metadata, filter)
    return await _answer(state_of(request), asked)


async def _answer(state: ServiceState, asked: _Asked) -> Response:
    start = time.perf_counter()
    wanted = checked_k(asked.k, state.settings)
    name, snapshot = state.catalogs.snapshot(asked.catalog)
    history, degraded = await read_history(
        state, name, asked.user_id, asked.session_id, snapshot.event_types
    )
    work = partial(
        recommend,
        snapshot,
        asked.user_id,
        history,
        wanted,
        exclude_seen=asked.exclude_seen,
        rules=None if asked.filter is None else Rules(filter=parse_filter(asked.filter)),
        now_ms=time.time_ns() // 1_000_000,
    )
    ranked = timed(state.metrics.ranking_seconds.observe, work)
    if snapshot.search_s < INLINE_SEARCH_S:
        answer = ranked()
    else:
        answer = await asyncio.get_running_loop().run_in_executor(state.searches, ranked)
    _count_fallbacks(state, name, answer, degraded=degraded)
    content = {
        "user_id": asked.user_id,
        **({} if asked.session_id is None else {"session_id": asked.session_id}),
        "recommendation_id": uuid.uuid4().hex,
        "model_version": snapshot.version,
        "catalog": name,
        "items": _items(snapshot, answer, metadata=asked.metadata),
        "next_cursor": None,
        "degraded": degraded,
        "took_ms": round((time.perf_counter() - start) * 1000, 3),
    }
    # Metadata may hold values JSON does not know, such as decimals: they become text.
    return Response(orjson.dumps(content, default=str), media_type="application/json")


def _count_fallbacks(
    state: ServiceState, catalog: str, answer: list[Recommended], *, degraded: bool
) -> None:
    fallbacks = state.metrics.fallbacks
    if degraded:
        fallbacks.labels(catalog, "degraded").inc()
    if answer and answer[-1].source == "popular":
        reason = "popular" if answer[0].source == "popular" else "padded"
        fallbacks.labels(catalog, reason).inc()


# Any: JSON.
def _items(
    snapshot: Snapshot, answer: list[Recommended], *, metadata: bool
) -> list[dict[str, Any]]:
    item_ids = snapshot.artifact.item_ids
    items: list[dict[str, Any]] = [
        {
            "item_id": item_ids[item.item_row],
            "score": item.score,
            "rank": rank,
            "source": item.source,
        }
        for rank, item in enumerate(answer, start=1)
    ]
    if metadata:
        with_metadata(snapshot, [item.item_row for item in answer], items)
    return items

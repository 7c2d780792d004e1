"""GET /recommend/{user_id}."""

import asyncio
import time
import uuid
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import orjson
from fastapi import APIRouter, Query, Request, Response
from starlette.convertors import Convertor, register_url_convertor

from service.errors import BadRequest, InvalidParameter
from service.events import MAX_ID_BYTES, Identifier
from service.filters import parse_filter
from service.histories import read_history
from service.recommend import recommend
from service.recommended import Recommended
from service.routes.parameters import FilterQuery
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

_K = Annotated[
    int | None, Query(ge=1, description="How many; 10 by default; at most `k_max`, 500.")
]
_Catalog = Annotated[str | None, Query(description="By default `default`.")]
_ExcludeSeen = Annotated[
    bool, Query(description="Leave out what the user has; negative items never come.")
]
_Metadata = Annotated[bool, Query(description="Add each item's metadata.")]


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


class _OpaqueConvertor(Convertor[str]):
    """Any characters: slashes too, and line breaks, which the built-in ``path`` leaves out."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("opaque", _OpaqueConvertor())

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
    k: _K = None,
    catalog: _Catalog = None,
    exclude_seen: _ExcludeSeen = True,
    metadata: _Metadata = False,
    filter: FilterQuery = None,
) -> Response:
    """The best items for a user, as of the latest interaction.

    Unknown users get popular items. `source` says per item where it comes from. When Redis does
    not reply, the answer is made without the latest interactions and says `degraded`. User ids are
    opaque; percent-encode them, `/` included.
    """
    asked = _Asked(_user_id(request), session_id, k, catalog, exclude_seen, metadata, filter)
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
    k: _K = None,
    catalog: _Catalog = None,
    exclude_seen: _ExcludeSeen = True,
    metadata: _Metadata = False,
    filter: FilterQuery = None,
) -> Response:
    """The best items for someone who has not said who they are, from what their session did.

    A session that did nothing yet gets popular items.
    """
    asked = _Asked(None, session_id, k, catalog, exclude_seen, metadata, filter)
    return await _answer(state_of(request), asked)


async def _answer(state: ServiceState, asked: _Asked) -> Response:
    start = time.perf_counter()
    wanted = _checked_k(asked.k, state)
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
    if snapshot.search_s < INLINE_SEARCH_S:
        answer = work()
    else:
        answer = await asyncio.get_running_loop().run_in_executor(state.searches, work)
    _count_fallbacks(state, name, answer, degraded=degraded)
    content = {
        "user_id": asked.user_id,
        **({} if asked.session_id is None else {"session_id": asked.session_id}),
        "recommendation_id": uuid.uuid4().hex,
        "model_version": snapshot.version,
        "catalog": name,
        "items": _items(snapshot, answer, with_metadata=asked.metadata),
        "next_cursor": None,
        "degraded": degraded,
        "took_ms": round((time.perf_counter() - start) * 1000, 3),
    }
    # Metadata may hold values JSON does not know, such as decimals: they become text.
    return Response(orjson.dumps(content, default=str), media_type="application/json")


def _checked_k(k: int | None, state: ServiceState) -> int:
    if k is None:
        return state.settings.k_default
    if k > state.settings.k_max:
        raise InvalidParameter(f"k is {k}, at most {state.settings.k_max} items are recommended")
    return k


def _user_id(request: Request) -> str:
    """The user id of the path as it was sent: the server's own decoding hides invalid UTF-8."""
    raw_path: bytes = request.scope["raw_path"]
    encoded = raw_path.partition(b"/recommend/")[2]
    try:
        user_id = unquote_to_bytes(encoded).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("the user id in the path is not percent-encoded UTF-8") from error
    size_bytes = len(user_id.encode())
    if not 1 <= size_bytes <= MAX_ID_BYTES:
        raise InvalidParameter(
            f"a user id has 1 to {MAX_ID_BYTES} bytes of UTF-8, this one {size_bytes}"
        )
    return user_id


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
    snapshot: Snapshot, answer: list[Recommended], *, with_metadata: bool
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
    if with_metadata:
        table = snapshot.artifact.item_metadata
        rows = [item.item_row for item in answer]
        records = [{} for _ in rows] if table is None else table.take(rows).to_pylist()
        for item, record in zip(items, records, strict=True):
            item["metadata"] = record
    return items

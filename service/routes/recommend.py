"""GET /recommend/{user_id}."""

import asyncio
import time
import uuid
from functools import partial
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import orjson
from fastapi import APIRouter, Query, Request, Response
from starlette.convertors import Convertor, register_url_convertor

from service.errors import BadRequest, InvalidParameter, StoreUnavailable
from service.events import MAX_ID_BYTES
from service.filters import parse_filter
from service.recommend import recommend
from service.recommended import Recommended
from service.routes.parameters import FilterQuery
from service.rules import Rules
from service.schemas import RecommendResponse, problem_responses
from service.snapshot import Snapshot
from service.state import ServiceState, state_of
from service.store.client import HistoryItem

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
    k: Annotated[
        int | None, Query(ge=1, description="How many; 10 by default; at most `k_max`, 500.")
    ] = None,
    catalog: Annotated[str | None, Query(description="By default `default`.")] = None,
    exclude_seen: Annotated[
        bool, Query(description="Leave out what the user has; negative items never come.")
    ] = True,
    metadata: Annotated[bool, Query(description="Add each item's metadata.")] = False,
    filter: FilterQuery = None,
) -> Response:
    """The best items for a user, as of the latest interaction.

    Unknown users get popular items. `source` says per item where it comes from. When Redis does
    not reply, the answer is made without the latest interactions and says `degraded`. User ids are
    opaque; percent-encode them, `/` included.
    """
    start = time.perf_counter()
    state = state_of(request)
    wanted = _checked_k(k, state)
    user = _user_id(request)
    name, snapshot = state.catalogs.snapshot(catalog)
    history, degraded = await _history(state, name, user)
    rules = None if filter is None else Rules(filter=parse_filter(filter))
    work = partial(
        recommend, snapshot, user, history, wanted, exclude_seen=exclude_seen, rules=rules
    )
    if snapshot.search_s < INLINE_SEARCH_S:
        answer = work()
    else:
        answer = await asyncio.get_running_loop().run_in_executor(state.searches, work)
    _count_fallbacks(state, name, answer, degraded=degraded)
    content = {
        "user_id": user,
        "recommendation_id": uuid.uuid4().hex,
        "model_version": snapshot.version,
        "catalog": name,
        "items": _items(snapshot, answer, with_metadata=metadata),
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


async def _history(
    state: ServiceState, catalog: str, user_id: str
) -> tuple[list[HistoryItem], bool]:
    if state.store is None:
        return [], True
    try:
        return await state.store.history(catalog, user_id), False
    except StoreUnavailable:
        return [], True


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

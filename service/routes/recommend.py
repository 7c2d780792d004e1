"""GET /recommend/{user_id}."""

import time
from functools import partial
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response

from service.answering import count_answer, run_search
from service.answers import Demand, Someone, answer
from service.cursor import MAX_LENGTH
from service.histories import read_history
from service.routes.ids import path_id
from service.routes.parameters import (
    CatalogQuery,
    FilterQuery,
    KQuery,
    MetadataQuery,
    SessionId,
    checked_k,
)
from service.rules.body import RulesBody
from service.schemas import RecommendResponse, problem_responses
from service.state import ServiceState, state_of

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


_Diversity = Annotated[
    float,
    Query(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="0 takes the best scores; towards 1, items differ more from each other.",
    ),
]
_Explain = Annotated[bool, Query(description="Add what scores are made of, and reasons.")]
_Cursor = Annotated[
    str | None,
    Query(
        description="Empty for the first page, then `next_cursor` of the last one.",
        max_length=MAX_LENGTH,
    ),
]

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
        SessionId | None, Query(description="The session they are in: what it did counts too.")
    ] = None,
    k: KQuery = None,
    catalog: CatalogQuery = None,
    exclude_seen: _ExcludeSeen = True,
    metadata: MetadataQuery = False,
    filter: FilterQuery = None,
    diversity: _Diversity = 0.0,
    explain: _Explain = False,
    cursor: _Cursor = None,
) -> Response:
    """The best items for a user, as of the latest interaction.

    Unknown users get popular items. `source` says per item where it comes from. When Redis does
    not reply, the answer is made without the latest interactions and says `degraded`. User ids are
    opaque; percent-encode them, `/` included.
    """
    state, user = state_of(request), path_id(request, b"/recommend/", "user")
    demand = _demand(
        state,
        k=k,
        exclude_seen=exclude_seen,
        metadata=metadata,
        filter=filter,
        diversity=diversity,
        explain=explain,
        cursor=cursor,
    )
    return await _answer(state, catalog, user, session_id, demand)


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
    session_id: Annotated[SessionId, Query(description="Whatever their events said.")],
    k: KQuery = None,
    catalog: CatalogQuery = None,
    exclude_seen: _ExcludeSeen = True,
    metadata: MetadataQuery = False,
    filter: FilterQuery = None,
    diversity: _Diversity = 0.0,
    explain: _Explain = False,
    cursor: _Cursor = None,
) -> Response:
    """The best items for someone who has not said who they are, from what their session did.

    A session that did nothing yet gets popular items.
    """
    state = state_of(request)
    demand = _demand(
        state,
        k=k,
        exclude_seen=exclude_seen,
        metadata=metadata,
        filter=filter,
        diversity=diversity,
        explain=explain,
        cursor=cursor,
    )
    return await _answer(state, catalog, None, session_id, demand)


def _demand(
    state: ServiceState,
    *,
    k: int | None,
    exclude_seen: bool,
    metadata: bool,
    filter: str | None,
    diversity: float,
    explain: bool,
    cursor: str | None,
) -> Demand:
    wanted = checked_k(k, state.settings)
    if filter is None and not diversity:
        return Demand(wanted, exclude_seen, metadata, explain=explain, cursor=cursor)
    # Texts of a wrong length are refused like wrong filters, which name the fix.
    body = RulesBody.model_construct(filter=filter, diversity=diversity)
    return Demand(wanted, exclude_seen, metadata, body.rules(), body.canonical(), explain, cursor)


async def _answer(
    state: ServiceState,
    catalog: str | None,
    user_id: str | None,
    session_id: str | None,
    demand: Demand,
) -> Response:
    start = time.perf_counter()
    name, snapshot = state.catalogs.snapshot(catalog)
    unit = session_id if user_id is None else user_id
    snapshot, demand = state.experiments.treat(name, snapshot, unit, demand)
    history, degraded = await read_history(state, name, user_id, session_id, snapshot.event_types)
    someone = Someone(user_id, session_id, history, degraded)
    work = partial(answer, name, snapshot, someone, demand)
    content = await run_search(state, snapshot, work, is_plain=demand.is_plain)
    count_answer(state, content)
    content["took_ms"] = round((time.perf_counter() - start) * 1000, 3)
    # Metadata may hold values JSON does not know, such as decimals: they become text.
    return Response(orjson.dumps(content, default=str), media_type="application/json")

"""GET /recommend/{user_id}."""

import time
from contextlib import nullcontext
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.answering import answer_one, count_answer
from service.answers import Demand, Someone
from service.cursor import MAX_LENGTH
from service.histories import read_history
from service.routes.ids import path_id
from service.routes.lean import LeanRoute
from service.routes.parameters import (
    CatalogQuery,
    FilterQuery,
    KQuery,
    MetadataQuery,
    SessionId,
    checked_k,
)
from service.rules.body import RulesBody
from service.schemas import RecommendResponse, answer_example, problem_responses
from service.settings import Settings
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


class ListQuery(BaseModel):
    """What a list may be asked for with; equal for users and sessions."""

    model_config = ConfigDict(frozen=True)

    k: KQuery = None
    catalog: CatalogQuery = None
    exclude_seen: Annotated[
        bool, Field(description="Leave out what the user has; negative items never come.")
    ] = True
    metadata: MetadataQuery = False
    filter: FilterQuery = None
    diversity: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="0 takes the best scores; towards 1, items differ more from each other.",
        ),
    ] = 0.0
    explain: Annotated[bool, Field(description="Add what scores are made of, and reasons.")] = False
    cursor: Annotated[
        str | None,
        Field(
            description="Empty for the first page, then `next_cursor` of the last one.",
            max_length=MAX_LENGTH,
        ),
    ] = None

    def demand(self, settings: Settings) -> Demand:
        """What is asked for.

        Raises:
            InvalidParameter: more items than the settings allow, or a filter that is none.
        """
        wanted = checked_k(self.k, settings)
        if self.filter is None and not self.diversity:
            return Demand(
                wanted,
                self.exclude_seen,
                self.metadata,
                explain=self.explain,
                cursor=self.cursor,
            )
        # Texts of a wrong length are refused like wrong filters, which name the fix.
        body = RulesBody.model_construct(filter=self.filter, diversity=self.diversity)
        return Demand(
            wanted,
            self.exclude_seen,
            self.metadata,
            body.rules(),
            body.canonical(),
            self.explain,
            self.cursor,
        )


class UserQuery(ListQuery):
    """Of a user."""

    session_id: Annotated[
        SessionId | None, Field(description="The session they are in: what it did counts too.")
    ] = None


class SessionQuery(ListQuery):
    """Of someone who has not said who they are."""

    session_id: Annotated[SessionId, Field(description="Whatever their events said.")]


router = APIRouter(tags=["recommendations"], route_class=LeanRoute)


@router.get(
    "/recommend/{user_id:opaque}",
    summary="Recommend items to a user",
    response_model=RecommendResponse,
    responses={
        **answer_example(_EXAMPLE),
        **problem_responses(400, 404, 422, 503),
    },
)
async def recommend_to_user(
    request: Request,
    query: Annotated[UserQuery, Query()],
    user_id: str = "",  # noqa: ARG001  # documented here, read from the raw path
) -> Response:
    """The best items for a user, as of the latest interaction.

    Unknown users get popular items. `source` says per item where it comes from. When Redis does
    not reply, the answer is made without the latest interactions and says `degraded`. User ids are
    opaque; percent-encode them, `/` included.
    """
    user = path_id(request, b"/recommend/", "user")
    return await _answer(state_of(request), query, user, query.session_id)


@router.get(
    "/recommend",
    summary="Recommend items to a session",
    response_model=RecommendResponse,
    responses={
        **answer_example(_SESSION_EXAMPLE),
        **problem_responses(400, 404, 422, 503),
    },
)
async def recommend_to_session(
    request: Request, query: Annotated[SessionQuery, Query()]
) -> Response:
    """The best items for someone who has not said who they are, from what their session did.

    A session that did nothing yet gets popular items.
    """
    return await _answer(state_of(request), query, None, query.session_id)


async def _answer(
    state: ServiceState, query: ListQuery, user_id: str | None, session_id: str | None
) -> Response:
    start = time.perf_counter()
    demand = query.demand(state.settings)
    name, snapshot = state.catalogs.snapshot(query.catalog)
    unit = session_id if user_id is None else user_id
    snapshot, demand = state.experiments.treat(name, snapshot, unit, demand)
    joins = snapshot.is_quick and demand.is_plain
    with state.queue.coming if joins else nullcontext():
        history, degraded = await read_history(
            state, name, user_id, session_id, snapshot.event_types
        )
    someone = Someone(user_id, session_id, history, degraded)
    content = await answer_one(state, name, snapshot, someone, demand)
    count_answer(state, content)
    content["took_ms"] = round((time.perf_counter() - start) * 1000, 3)
    # Metadata may hold values JSON does not know, such as decimals: they become text.
    return Response(orjson.dumps(content, default=str), media_type="application/json")

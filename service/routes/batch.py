"""POST /recommend."""

import asyncio
import time
from functools import partial
from typing import Annotated

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field, model_validator

from service.answering import answer_many, count_answer
from service.answers import Demand, Someone
from service.cursor import MAX_LENGTH
from service.errors import PayloadTooLarge
from service.events import Identifier
from service.histories import read_history
from service.metrics import timed
from service.routes.parameters import CatalogQuery, checked_k
from service.rules.body import RulesBody
from service.schemas import BatchResponse, answer_example, problem_responses
from service.snapshot import Snapshot
from service.state import ServiceState, state_of

_EXAMPLES = {
    "user": {"summary": "One user", "value": {"users": ["u1"], "k": 5}},
    "rules": {
        "summary": "Two users under rules",
        "value": {
            "users": ["u1", "u2"],
            "filter": "price < 80",
            "boosts": [{"filter": "added >= 2026-01-01", "weight": 0.5}],
            "bury": "in_stock = false",
            "caps": [{"field": "category", "limit": 2}],
            "diversity": 0.3,
            "exclude_items": ["i3"],
            "explain": True,
        },
    },
    "page": {"summary": "The first page of a list", "value": {"users": ["u1"], "cursor": ""}},
    "session": {"summary": "An anonymous session", "value": {"session_id": "s1"}},
}
_RESULT = {
    "user_id": "u1",
    "recommendation_id": "5d2c8c54a1f14b6f8a3f0c6c1f9a2b7e",
    "model_version": "20260131T120000123456Z-0a1b2c3d",
    "catalog": "default",
    "items": [
        {
            "item_id": "i42",
            "score": 3.0,
            "rank": 1,
            "source": "model",
            "score_parts": [
                {
                    "name": "gnnmr",
                    "score": 2.0,
                    "share": 0.67,
                    "modalities": [
                        {"modality": "image", "score": 1.5, "share": 0.75},
                        {"modality": "text", "score": 0.5, "share": 0.25},
                    ],
                },
                {"name": "itemcf", "score": 1.0, "share": 0.33},
            ],
            "reasons": [
                {"kind": "interacted", "item_id": "i7", "similarity": 0.71},
                {"kind": "similar", "modality": "image", "item_id": "i7", "similarity": 0.93},
                {"kind": "popular", "field": "category", "value": "Lighting", "place": 3},
            ],
        },
    ],
    "next_cursor": None,
    "degraded": False,
}
_EXAMPLE = {
    "model_version": "20260131T120000123456Z-0a1b2c3d",
    "catalog": "default",
    "results": [_RESULT],
    "took_ms": 1.9,
}

router = APIRouter(tags=["recommendations"])


class RecommendBody(RulesBody):
    """What to recommend to whom.

    `users`, `session_id`, or one user and the session they are in. A `cursor` needs to be for one:
    empty for the first page, then the `next_cursor` of the last page.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    users: tuple[Identifier, ...] = ()
    session_id: Identifier | None = None
    k: Annotated[int, Field(ge=1)] | None = None
    exclude_seen: bool = True
    metadata: bool = False
    explain: bool = False
    cursor: Annotated[str, Field(max_length=MAX_LENGTH)] | None = None

    @model_validator(mode="after")
    def _someone(self) -> "RecommendBody":
        count = len(self.users)
        if not count and self.session_id is None:
            raise ValueError("name at least one user in users, or a session_id")
        if count > 1 and self.session_id is not None:
            raise ValueError(f"a session has one user, users names {count}")
        if count > 1 and self.cursor is not None:
            raise ValueError(f"a cursor belongs to one user, users names {count}")
        return self


@router.post(
    "/recommend",
    summary="Recommend items under rules, to several users at once",
    response_model=BatchResponse,
    responses={
        **answer_example(_EXAMPLE),
        **problem_responses(400, 404, 413, 422, 503),
    },
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": _EXAMPLES}}}},
)
async def recommend_to_many(
    request: Request, body: RecommendBody, catalog: CatalogQuery = None
) -> Response:
    """The best items for every user, as `GET /recommend/{user_id}` gives them, under more rules.

    `filter` and `include_items` say what may come, `exclude_items` what may not. `boosts` raise or
    lower the scores of items that pass a filter, in standard deviations of the user's scores.
    What passes `bury` comes after everything else. `caps` limit how many items of an answer share
    a value of a field, `diversity` how alike they are. The rules hold for all users; one version
    answers for all but those whom an experiment gives another.
    """
    start = time.perf_counter()
    state = state_of(request)
    limit = state.settings.max_batch_users
    if len(body.users) > limit:
        raise PayloadTooLarge(f"users names {len(body.users)}, at most {limit} are served at once")
    demand = Demand(
        k=checked_k(body.k, state.settings),
        exclude_seen=body.exclude_seen,
        metadata=body.metadata,
        rules=body.rules(),
        rules_text=body.canonical(),
        explain=body.explain,
        cursor=body.cursor,
    )
    name, snapshot = state.catalogs.snapshot(catalog)
    everyone = await _everyone(state, name, snapshot, body)
    treat = partial(state.experiments.treat, name, snapshot)
    treated = [(one, *treat(one.user_id or one.session_id, demand)) for one in everyone]
    work = timed(state.metrics.ranking_seconds.observe, partial(answer_many, name, treated))
    results = await asyncio.get_running_loop().run_in_executor(state.searches, work)
    for result in results:
        count_answer(state, result)
    content = {
        "model_version": snapshot.version,
        "catalog": name,
        "results": results,
        "took_ms": round((time.perf_counter() - start) * 1000, 3),
    }
    # Metadata may hold values JSON does not know, such as decimals: they become text.
    return Response(orjson.dumps(content, default=str), media_type="application/json")


async def _everyone(
    state: ServiceState, catalog: str, snapshot: Snapshot, body: RecommendBody
) -> list[Someone]:
    """Everyone's history; what is read at the same time shares a round trip."""

    async def one(user_id: str | None) -> Someone:
        history, degraded = await read_history(
            state, catalog, user_id, body.session_id, snapshot.event_types
        )
        return Someone(user_id, body.session_id, history, degraded)

    users: list[str | None] = [*body.users] or [None]
    return await asyncio.gather(*(one(user_id) for user_id in users))

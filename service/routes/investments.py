"""GET and POST /funds/{fund_id}/investments: where a fund may invest next."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import ConfigDict, Field, JsonValue

from service.funds.answering import (
    CATALOG,
    count_investments,
    fund_row,
    question,
    reply,
    served,
    treated,
)
from service.funds.companies import book_of
from service.funds.examples import INVESTMENTS, SUITABILITY
from service.funds.investments import Json, Wish, investments
from service.funds.schemas import InvestmentsResponse
from service.funds.suitability import MAX_VALUES, Held, Suitability, apply
from service.histories import read_history
from service.items_json import with_metadata
from service.routes.companies import FundCatalogQuery
from service.routes.parameters import FilterQuery, KQuery, MetadataQuery, SessionId, checked_k
from service.routes.raw_path import RawPathRoute, raw_id
from service.schemas import answer_example, problem_responses
from service.state import state_of

_Words = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    Query(max_length=MAX_VALUES, description="May be repeated."),
]
_Ids = Annotated[
    list[SessionId], Query(max_length=MAX_VALUES, description="Company ids; may be repeated.")
]
_HeldQuery = Annotated[
    Held, Query(description="`exclude` leaves out what the fund holds, `mark` marks it.")
]
_FormerQuery = Annotated[
    Held, Query(description="The same for companies that it held once and sold.")
]

router = APIRouter(tags=["funds"], route_class=RawPathRoute)


class InvestmentsBody(Suitability):
    """Suitability with everything else that can be asked for; exclusion lists may be long."""

    model_config = ConfigDict(json_schema_extra={"example": SUITABILITY})

    k: Annotated[int, Field(ge=1)] | None = None
    held: Held = "exclude"
    formerly_held: Held = "mark"
    metadata: bool = False


@router.get(
    "/funds/{fund_id}/investments",
    summary="Where a fund may invest next",
    response_model=InvestmentsResponse,
    responses={
        **answer_example(INVESTMENTS),
        **problem_responses(400, 404, 422, 503),
    },
)
async def fund_investments(
    request: Request,
    fund_id: str,  # noqa: ARG001  # documented here, read from the raw path
    k: KQuery = None,
    sector: _Words = [],  # noqa: B006  # FastAPI copies it
    country: _Words = [],  # noqa: B006
    size: _Words = [],  # noqa: B006
    exclude_sector: _Words = [],  # noqa: B006
    exclude_country: _Words = [],  # noqa: B006
    exclude_size: _Words = [],  # noqa: B006
    exclude: _Ids = [],  # noqa: B006
    max_per_sector: Annotated[
        int | None, Query(ge=1, le=1000, description="At most so many companies of a sector.")
    ] = None,
    filter: FilterQuery = None,
    held: _HeldQuery = "exclude",
    formerly_held: _FormerQuery = "mark",
    metadata: MetadataQuery = False,
    catalog: FundCatalogQuery = CATALOG,
) -> Response:
    """The companies a fund is most likely to enter, with reasons, under hard rules of suitability.

    A company comes only if it is known to satisfy every rule: one of unknown sector satisfies no
    rule about sectors. `sector`, `country`, `size` and `exclude...` may be repeated. `rules` says
    which rules were applied and how many companies each alone removed.
    """
    # A filter of a wrong length is refused like a wrong filter, which names the fix.
    body = InvestmentsBody.model_construct(
        k=k,
        sector=tuple(sector),
        country=tuple(country),
        size=tuple(size),
        exclude_sector=tuple(exclude_sector),
        exclude_country=tuple(exclude_country),
        exclude_size=tuple(exclude_size),
        exclude=tuple(exclude),
        max_per_sector=max_per_sector,
        filter=filter,
        held=held,
        formerly_held=formerly_held,
        metadata=metadata,
    )
    return await _answer(request, catalog, body)


@router.post(
    "/funds/{fund_id}/investments",
    summary="Where a fund may invest next, under long lists of rules",
    response_model=InvestmentsResponse,
    responses={
        **answer_example(INVESTMENTS),
        **problem_responses(400, 404, 413, 422, 503),
    },
)
async def fund_investments_under_rules(
    request: Request,
    fund_id: str,  # noqa: ARG001  # documented here, read from the raw path
    body: InvestmentsBody,
    catalog: FundCatalogQuery = CATALOG,
) -> Response:
    """The same with a body, whose exclusion list may name 10,000 companies."""
    return await _answer(request, catalog, body)


async def _answer(request: Request, catalog: str, body: InvestmentsBody) -> Response:
    state = state_of(request)
    wish = Wish(checked_k(body.k, state.settings), body.held, body.formerly_held)
    fund, known = raw_id(request, "fund_id", "fund"), state.catalogs.require_known(catalog)
    (name, snapshot), (history, degraded) = await asyncio.gather(
        served(state, catalog), read_history(state, known, fund, None, {})
    )
    fund_row(snapshot, name, fund)
    snapshot, arm = treated(state, name, snapshot, fund)
    row = fund_row(snapshot, name, fund)
    listed: list[Json] = []

    def work() -> tuple[Json, list[Json]]:
        applied = apply(snapshot, body)
        now_ms = time.time_ns() // 1_000_000
        found = investments(snapshot, row, history, applied, wish, now_ms=now_ms, arm=arm)
        listed[:] = found.items
        if body.metadata:
            rows = [snapshot.item_rows[item["company_id"]] for item in found.items]
            with_metadata(snapshot, rows, found.items)
        book = book_of(snapshot)
        last = int(book.last_quarters[row])
        return {
            "fund_id": fund,
            "name": book.facts.names[row],
            "quarter": None if last < 0 else book.quarters[last].name,
            "investments": found.items,
            "rules": found.rules,
            "unknown_excluded": list(applied.unknown),
            "degraded": degraded,
        }, found.rules

    inputs: dict[str, JsonValue] = body.model_dump(mode="json") | {"k": wish.k}
    fresh: list[JsonValue] = [[item.item_id, item.positive] for item in history]
    asked = question(request, arm, fund_id=fund, **inputs, history=fresh)
    response = await reply(state, name, snapshot, asked, work)
    count_investments(state, name, asked, fund, listed, degraded=degraded)
    return response

"""GET /funds: fund companies, where they may invest next, and where all of them may."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from service.filters import parse_filter
from service.funds.answering import CATALOG, fund_row, fund_search, question, reply, served
from service.funds.companies import book_of, facts_of
from service.funds.examples import FUND, FUNDS, SIMILAR, TRENDS
from service.funds.expected import MAX_PER_FUND, trends
from service.funds.profile import Json, by_value, fund_history, holdings, sectors, summary
from service.funds.schemas import (
    FundResponse,
    FundsResponse,
    SimilarFundsResponse,
    TrendsResponse,
)
from service.funds.similar import By, by_portfolio, by_vectors, overlaps
from service.routes.companies import FundCatalogQuery, NameQuery, OffsetQuery
from service.routes.parameters import FilterQuery, KQuery, checked_k
from service.routes.raw_path import RawPathRoute, raw_id
from service.schemas import answer_example, problem_responses
from service.state import state_of

QuarterQuery = Annotated[
    str | None,
    Query(pattern=r"^\d{4}Q[1-4]$", description="Such as `2025Q1`; by default the fund's newest."),
]

router = APIRouter(tags=["funds"], route_class=RawPathRoute)


@router.get(
    "/funds",
    summary="Find fund companies",
    response_model=FundsResponse,
    responses={
        **answer_example(FUNDS),
        **problem_responses(404, 422, 503),
    },
)
async def find_funds(
    request: Request,
    q: NameQuery | None = None,
    k: KQuery = None,
    offset: OffsetQuery = 0,
    catalog: FundCatalogQuery = CATALOG,
) -> Response:
    """Funds by name, CIK or id, the best match first; without `q` all, the largest first."""
    state = state_of(request)
    wanted = checked_k(k, state.settings)
    name, snapshot = await served(state, catalog)
    facts_of(snapshot)

    def work() -> tuple[Json, list[Json]]:
        rows = by_value(snapshot) if q is None else fund_search(snapshot).find(q)
        shown = [summary(snapshot, row) for row in rows[offset : offset + wanted]]
        return {"total": len(rows), "funds": shown}, []

    asked = question(request, q=q, k=wanted, offset=offset)
    return await reply(state, name, snapshot, asked, work)


@router.get(
    "/funds/trends",
    summary="Where institutional money is expected to go next",
    response_model=TrendsResponse,
    responses={
        **answer_example(TRENDS),
        **problem_responses(404, 422, 503),
    },
)
async def fund_trends(
    request: Request,
    k: KQuery = None,
    per_fund: Annotated[
        int,
        Query(ge=1, le=MAX_PER_FUND, description="How far down every fund's list is counted."),
    ] = 20,
    filter: FilterQuery = None,
    catalog: FundCatalogQuery = CATALOG,
) -> Response:
    """Companies and sectors that the most funds are expected to enter next.

    Every fund that reported one of the two newest quarters has a list of the companies it does not
    hold; a company's `num_funds` are the lists it is in. Momentum is what has happened already: net
    entries in the newest complete quarter, `quarter`.
    """
    state = state_of(request)
    wanted = checked_k(k, state.settings)
    name, snapshot = await served(state, catalog)
    book = book_of(snapshot)

    def work() -> tuple[Json, list[Json]]:
        allowed = np.ones(snapshot.index.num_items, np.bool_)
        rules: list[Json] = []
        if filter is not None:
            allowed = snapshot.columns.allowed(parse_filter(filter)).mask
            rules = [{"rule": "filter", "removed": int(np.count_nonzero(~allowed))}]
        found = trends(snapshot, wanted, per_fund, allowed)
        return {
            "quarter": book.quarters[book.complete_quarter].name if book.quarters else None,
            "per_fund": per_fund,
            "num_funds": found.num_funds,
            "companies": found.companies,
            "sectors": found.sectors,
        }, rules

    asked = question(request, k=wanted, per_fund=per_fund, filter=filter)
    return await reply(state, name, snapshot, asked, work)


@router.get(
    "/funds/{fund_id}/similar",
    summary="Funds like a fund",
    response_model=SimilarFundsResponse,
    responses={
        **answer_example(SIMILAR),
        **problem_responses(400, 404, 422, 503),
    },
)
async def similar_funds(
    request: Request,
    fund_id: str,  # noqa: ARG001  # documented here, read from the raw path
    k: KQuery = None,
    by: Annotated[
        By, Query(description="`portfolio`: what they hold; `learned`: the models' vectors.")
    ] = "portfolio",
    catalog: FundCatalogQuery = CATALOG,
) -> Response:
    """The most similar of the funds that reported one of the two newest quarters.

    `similarity` is a cosine; `overlap` and `num_common` say what both hold.
    """
    state = state_of(request)
    wanted = checked_k(k, state.settings)
    name, snapshot = await served(state, catalog)
    fund = raw_id(request, "fund_id", "fund")
    row = fund_row(snapshot, name, fund)

    def work() -> tuple[Json, list[Json]]:
        book = book_of(snapshot)
        alike = by_portfolio(book, row) if by == "portfolio" else by_vectors(snapshot, row)
        overlap, common = overlaps(book, row)
        alike[~book.active] = -np.inf
        alike[row] = -np.inf
        best = np.argsort(-alike, kind="stable")[:wanted]
        funds = [
            summary(snapshot, other)
            | {
                "rank": rank,
                "similarity": float(alike[other]),
                "overlap": float(overlap[other]),
                "num_common": int(common[other]),
            }
            for rank, other in enumerate(best[np.isfinite(alike[best])].tolist(), start=1)
        ]
        return {"fund_id": fund, "name": book.facts.names[row], "by": by, "funds": funds}, []

    asked = question(request, fund_id=fund, k=wanted, by=by)
    return await reply(state, name, snapshot, asked, work)


@router.get(
    "/funds/{fund_id}",
    summary="A fund company",
    response_model=FundResponse,
    responses={
        **answer_example(FUND),
        **problem_responses(400, 404, 422, 503),
    },
)
async def fund(
    request: Request,
    fund_id: str,  # noqa: ARG001  # documented here, read from the raw path
    k: KQuery = None,
    quarter: QuarterQuery = None,
    catalog: FundCatalogQuery = CATALOG,
) -> Response:
    """What a fund holds, its sectors, and every quarter it reported."""
    state = state_of(request)
    wanted = checked_k(k, state.settings)
    name, snapshot = await served(state, catalog)
    fund = raw_id(request, "fund_id", "fund")
    row = fund_row(snapshot, name, fund)
    when = None if quarter is None else book_of(snapshot).quarter(quarter)

    def work() -> tuple[Json, list[Json]]:
        return {
            **summary(snapshot, row, when),
            "holdings": holdings(snapshot, row, when, wanted),
            "sectors": sectors(snapshot, row, when),
            "history": fund_history(snapshot, row),
        }, []

    asked = question(request, fund_id=fund, k=wanted, quarter=quarter)
    return await reply(state, name, snapshot, asked, work)

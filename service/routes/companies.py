"""GET /companies: listed companies, who holds them, and who may invest next."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.funds.answering import CATALOG, company_row, question, reply, served
from service.funds.companies import book_of, companies_of, facts_of
from service.funds.examples import COMPANIES, COMPANY, INVESTORS
from service.funds.expected import expected_investors
from service.funds.profile import Json, company_history, holders
from service.funds.schemas import CompaniesResponse, CompanyResponse, InvestorsResponse
from service.items_json import with_metadata
from service.routes.parameters import KQuery, checked_k
from service.routes.raw_path import RawPathRoute, raw_id
from service.schemas import answer_example, problem_responses
from service.state import state_of

FundCatalogQuery = Annotated[str, Query(description="A catalog of fund companies.")]
NameQuery = Annotated[
    str,
    Query(
        min_length=1,
        max_length=200,
        description="Part of a name, beginnings of its words, or an id.",
    ),
]
OffsetQuery = Annotated[int, Query(ge=0, le=1_000_000, description="How many to leave out first.")]

router = APIRouter(tags=["companies"], route_class=RawPathRoute)


@router.get(
    "/companies",
    summary="Find companies",
    response_model=CompaniesResponse,
    responses={
        **answer_example(COMPANIES),
        **problem_responses(404, 422, 503),
    },
)
async def find_companies(
    request: Request,
    q: NameQuery,
    k: KQuery = None,
    offset: OffsetQuery = 0,
    catalog: FundCatalogQuery = CATALOG,
) -> Response:
    """Companies by name or id, the best match first."""
    state = state_of(request)
    wanted = checked_k(k, state.settings)
    name, snapshot = await served(state, catalog)
    facts_of(snapshot)

    def work() -> tuple[Json, list[Json]]:
        companies = companies_of(snapshot)
        rows = companies.search.find(q)
        shown = [companies.brief(row) for row in rows[offset : offset + wanted]]
        return {"total": len(rows), "companies": shown}, []

    asked = question(request, q=q, k=wanted, offset=offset)
    return await reply(state, name, snapshot, asked, work)


@router.get(
    "/companies/{company_id}/investors",
    summary="Who holds a company, and who may enter next",
    response_model=InvestorsResponse,
    responses={
        **answer_example(INVESTORS),
        **problem_responses(400, 404, 422, 503),
    },
)
async def investors(
    request: Request,
    company_id: str,  # noqa: ARG001  # documented here, read from the raw path
    k: KQuery = None,
    catalog: FundCatalogQuery = CATALOG,
) -> Response:
    """The funds with the largest positions, and the funds without one that the models expect next.

    Only funds that reported one of the two newest quarters are looked at.
    """
    state = state_of(request)
    wanted = checked_k(k, state.settings)
    name, snapshot = await served(state, catalog)
    company = raw_id(request, "company_id", "company")
    row = company_row(snapshot, name, company)

    def work() -> tuple[Json, list[Json]]:
        held_by = holders(snapshot, row)
        return {
            **companies_of(snapshot).brief(row),
            "num_holders": len(held_by),
            "holders": held_by[:wanted],
            "expected": expected_investors(snapshot, row, wanted),
        }, []

    asked = question(request, company_id=company, k=wanted)
    return await reply(state, name, snapshot, asked, work)


@router.get(
    "/companies/{company_id}",
    summary="A company",
    response_model=CompanyResponse,
    responses={
        **answer_example(COMPANY),
        **problem_responses(400, 404, 422, 503),
    },
)
async def company(
    request: Request,
    company_id: str,  # noqa: ARG001  # documented here, read from the raw path
    catalog: FundCatalogQuery = CATALOG,
) -> Response:
    """What is known of a company, and its history among the funds."""
    state = state_of(request)
    name, snapshot = await served(state, catalog)
    company = raw_id(request, "company_id", "company")
    row = company_row(snapshot, name, company)

    def work() -> tuple[Json, list[Json]]:
        book = book_of(snapshot)
        positions = book.holders(row)
        return {
            **companies_of(snapshot).brief(row),
            "num_holders": len(positions),
            "value_usd": float(book.facts.values[positions].sum()),
            **with_metadata(snapshot, [row], [{}])[0],
            "history": company_history(snapshot, row),
        }, []

    return await reply(state, name, snapshot, question(request, company_id=company), work)

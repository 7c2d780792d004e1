"""What every method of the client about fund companies asks for."""

from collections.abc import Mapping
from typing import cast

from mutualrec.client.call import Call, Query, encoded, path_of
from mutualrec.client.calls import get
from mutualrec.client.options import (
    FundOptions,
    InCatalog,
    InvestmentOptions,
    InvestorOptions,
    PageOptions,
    SimilarFundOptions,
    TrendOptions,
    body_of,
    checked,
)
from service.funds.schemas import (
    CompaniesResponse,
    CompanyResponse,
    FundResponse,
    FundsResponse,
    InvestmentsResponse,
    InvestorsResponse,
    SimilarFundsResponse,
    TrendsResponse,
)

_FUNDS = "/v1/funds"
_COMPANIES = "/v1/companies"


def find_funds(text: str | None, options: Mapping[str, object]) -> Call[FundsResponse]:
    """GET /funds."""
    query = cast(Query, checked(options, PageOptions) | {"q": text})
    return Call("GET", _FUNDS, FundsResponse, query)


def fund(fund_id: str, options: Mapping[str, object]) -> Call[FundResponse]:
    """GET /funds/{fund_id}."""
    return get(_fund(fund_id), FundResponse, options, FundOptions)


def similar_funds(fund_id: str, options: Mapping[str, object]) -> Call[SimilarFundsResponse]:
    """GET /funds/{fund_id}/similar."""
    route = _fund(fund_id) + "/similar"
    return get(route, SimilarFundsResponse, options, SimilarFundOptions)


def trends(options: Mapping[str, object]) -> Call[TrendsResponse]:
    """GET /funds/trends."""
    return get(_FUNDS + "/trends", TrendsResponse, options, TrendOptions)


def investments(fund_id: str, options: Mapping[str, object]) -> Call[InvestmentsResponse]:
    """POST /funds/{fund_id}/investments, which changes nothing, however long the rules are."""
    body = checked(options, InvestmentOptions)
    query = {"catalog": cast("str | None", body.pop("catalog", None))}
    route = _fund(fund_id) + "/investments"
    return Call("POST", route, InvestmentsResponse, query, encoded(body_of(body)))


def find_companies(text: str, options: Mapping[str, object]) -> Call[CompaniesResponse]:
    """GET /companies."""
    query = cast(Query, checked(options, PageOptions) | {"q": text})
    return Call("GET", _COMPANIES, CompaniesResponse, query)


def company(company_id: str, options: Mapping[str, object]) -> Call[CompanyResponse]:
    """GET /companies/{company_id}."""
    return get(_COMPANIES + path_of(company_id), CompanyResponse, options, InCatalog)


def investors(company_id: str, options: Mapping[str, object]) -> Call[InvestorsResponse]:
    """GET /companies/{company_id}/investors."""
    route = _COMPANIES + path_of(company_id) + "/investors"
    return get(route, InvestorsResponse, options, InvestorOptions)


def _fund(fund_id: str) -> str:
    # A fund of that name is told from the endpoint by an escaped letter.
    return _FUNDS + ("/%74rends" if fund_id == "trends" else path_of(fund_id))

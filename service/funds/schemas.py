"""Bodies of the answers about fund companies, for the OpenAPI document."""

from typing import Literal

from pydantic import BaseModel, JsonValue

from service.recommended import Source

Change = Literal["new", "increased", "reduced", "held", "closed"]


class FundAnswer(BaseModel):
    """What every answer begins with.

    `data_date` is the last day of the newest quarter in the data, `filed_until` the newest filing.
    """

    recommendation_id: str
    model_version: str
    catalog: str
    data_date: str | None
    filed_until: str | None
    disclaimer: str


class FundBrief(BaseModel):
    """A fund company in a list."""

    fund_id: str
    name: str


class FundSummary(FundBrief):
    """A fund company as of its newest report, or the asked one."""

    cik: str | None
    quarter: str | None
    quarter_end: str | None
    filed: str | None
    num_holdings: int
    value_usd: float


class CompanyBrief(BaseModel):
    """A listed company in a list; what nobody knows is null."""

    company_id: str
    name: str | None
    sector: str | None


class FundsResponse(FundAnswer):
    """`total` counts all that match, of which `funds` are some."""

    total: int
    funds: list[FundSummary]


class CompaniesResponse(FundAnswer):
    """`total` counts all that match, of which `companies` are some."""

    total: int
    companies: list[CompanyBrief]


class Holding(CompanyBrief):
    """A position; `portfolio_share` is 0 to 1."""

    rank: int
    value_usd: float
    portfolio_share: float
    change: Change


class SectorShare(BaseModel):
    """A sector of a portfolio; null gathers the companies of unknown sector."""

    sector: str | None
    num_companies: int
    value_usd: float
    portfolio_share: float


class FundQuarter(BaseModel):
    """A reported quarter and what changed in it."""

    quarter: str
    quarter_end: str
    filed: str
    num_holdings: int
    value_usd: float
    new: int
    increased: int
    reduced: int
    held: int
    closed: int


class FundResponse(FundAnswer, FundSummary):
    """`holdings` are the largest ones, `history` every reported quarter."""

    holdings: list[Holding]
    sectors: list[SectorShare]
    history: list[FundQuarter]


class AlikeFund(FundBrief):
    """A similar fund that holds the company."""

    similarity: float
    portfolio_share: float


class AlikeCompany(CompanyBrief):
    """A company of the fund that the models find alike."""

    similarity: float


class InvestmentReason(BaseModel):
    """Why a company comes.

    `domain`: the fund puts `portfolio_share` of its money into companies whose `field` is `value`,
    the average fund `usual_share`. `funds`: of the 50 most similar funds `num_funds` hold it.
    `companies`: holdings of the fund that the models find alike.
    """

    kind: Literal["domain", "funds", "companies"]
    field: str | None = None
    value: str | None = None
    portfolio_share: float | None = None
    usual_share: float | None = None
    num_companies: int | None = None
    num_funds: int | None = None
    funds: list[AlikeFund] | None = None
    companies: list[AlikeCompany] | None = None


class Investment(CompanyBrief):
    """`num_funds` hold it now. `held` and `formerly_held` are about this fund."""

    rank: int
    score: float
    source: Source
    held: bool
    formerly_held: bool
    num_funds: int
    reasons: list[InvestmentReason]
    metadata: dict[str, JsonValue] | None = None


class FiredRule(BaseModel):
    """A rule that was applied, and how many companies it alone removed."""

    rule: str
    removed: int


class InvestmentsResponse(FundAnswer, FundBrief):
    """`unknown_excluded` are ids of the exclusion list that the catalog does not have.

    `experiment` and `arm` are there for funds in one. Events that name the `recommendation_id` are
    counted for this answer.
    """

    experiment: str | None = None
    arm: str | None = None
    quarter: str | None
    investments: list[Investment]
    rules: list[FiredRule]
    unknown_excluded: list[str]
    degraded: bool


class SimilarFund(FundSummary):
    """`overlap` is the part of both portfolios that is the same, 0 to 1."""

    rank: int
    similarity: float
    overlap: float
    num_common: int


class SimilarFundsResponse(FundAnswer, FundBrief):
    """Funds like one."""

    by: str
    funds: list[SimilarFund]


class CompanyQuarter(BaseModel):
    """A quarter of a company: the funds that held it, and what they did."""

    quarter: str
    quarter_end: str
    num_holders: int
    value_usd: float
    new: int
    increased: int
    reduced: int
    held: int
    closed: int


class CompanyResponse(FundAnswer, CompanyBrief):
    """`num_holders` and `value_usd` are of the funds that reported one of the newest quarters."""

    num_holders: int
    value_usd: float
    metadata: dict[str, JsonValue]
    history: list[CompanyQuarter]


class Holder(FundBrief):
    """A fund that holds the company as of its newest report."""

    rank: int
    quarter: str
    value_usd: float
    portfolio_share: float
    change: Change


class ExpectedInvestor(FundBrief):
    """A fund that may enter next.

    `score` is in standard deviations above what the fund's average company gets.
    """

    rank: int
    score: float


class InvestorsResponse(FundAnswer, CompanyBrief):
    """The largest holders, and who is expected to enter next."""

    num_holders: int
    holders: list[Holder]
    expected: list[ExpectedInvestor]


class Momentum(BaseModel):
    """What happened in the newest complete quarter; `momentum` is net entries, -1 to 1."""

    num_holders: int
    entered: int
    left: int
    momentum: float


class CompanyTrend(CompanyBrief, Momentum):
    """`num_funds` have it high in their list without holding it; `funds` are some of them."""

    rank: int
    num_funds: int
    score: float
    funds: list[FundBrief]


class SectorTrend(Momentum):
    """`expected_share` is the sector's part of all expected entries."""

    sector: str
    num_funds: int
    expected_share: float


class TrendsResponse(FundAnswer):
    """Where institutional money is expected to go next, counted over `num_funds` funds."""

    quarter: str | None
    per_fund: int
    num_funds: int
    companies: list[CompanyTrend]
    sectors: list[SectorTrend]

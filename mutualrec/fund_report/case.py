"""The content of a report: everything that is shown, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recommended:
    """A recommended company.

    Attributes:
        name: or the id where nobody knows a name.
        domain: None where nobody knows it.
        hit: the fund held it in one of the next quarters.
        bought: that quarter; None for a miss.
        share_after: part of the portfolio at the end; 0 for what was sold again by then.
        formerly_held: the fund had held it once and sold it.
        num_funds: how many funds held it.
        reasons: sentences.
    """

    company_id: str
    name: str
    domain: str | None
    rank: int
    hit: bool
    bought: str | None
    share_after: float
    formerly_held: bool
    num_funds: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Held:
    """A company the fund held in the quarter; `kept` says whether it still did at the end."""

    company_id: str
    name: str
    domain: str | None
    share: float
    kept: bool


@dataclass(frozen=True)
class Bought:
    """A company the fund entered; `rank` is None where nobody had reported it before."""

    company_id: str
    name: str
    domain: str | None
    quarter: str
    share_after: float
    rank: int | None


@dataclass(frozen=True)
class DomainShare:
    """A domain's part of the portfolio (0 to 1) and its companies, before and after."""

    domain: str | None
    before: float
    after: float
    num_before: int
    num_after: int
    num_recommended: int
    num_hits: int


@dataclass(frozen=True)
class Case:
    """A report.

    Attributes:
        domain_field: what the domains are, such as ``sector``.
        later: the quarters that were looked at.
        num_quarters: how many quarters the fund had reported until then.
        num_candidates: the companies that could be recommended.
        num_popular_hits: hits of as many of the most held companies that the fund does not hold.
        members: the models and their weights.
    """

    fund_id: str
    name: str
    cik: str | None
    quarter: str
    filed: str | None
    later: tuple[str, ...]
    value_usd: float
    num_quarters: int
    num_candidates: int
    num_popular_hits: int
    domain_field: str
    recommended: tuple[Recommended, ...]
    held: tuple[Held, ...]
    bought: tuple[Bought, ...]
    domains: tuple[DomainShare, ...]
    members: tuple[str, ...]
    version: str
    disclaimer: str

    @property
    def num_hits(self) -> int:
        """How many of the recommended companies the fund entered."""
        return sum(company.hit for company in self.recommended)


def percent(share: float) -> str:
    """A part of a portfolio for people: never 0 % for something that is there."""
    number = "0" if share == 0 else "<0.1" if share < 0.001 else _rounded(share)
    return f"{number}\u00a0%"


def _rounded(share: float) -> str:
    return f"{100 * share:.1f}" if share < 0.0995 else f"{100 * share:.0f}"

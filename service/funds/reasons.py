"""Why a company is recommended to a fund: shared domains, funds and companies that are alike."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.funds.book import FundBook
from service.funds.companies import book_of, codes_by_row, companies_of, domain_columns
from service.funds.kept import kept
from service.funds.similar import by_portfolio
from service.snapshot import Snapshot

# Any: JSON.
Json: TypeAlias = dict[str, Any]

SIMILAR_FUNDS = 50
"""How many of the most similar funds are looked at for who holds a company."""

_LARGEST_HOLDINGS = 200
_MAX_DOMAINS = 3
_MAX_FUNDS = 3
_MAX_COMPANIES = 2


def reasons(snapshot: Snapshot, fund_row: int, company_rows: Sequence[int]) -> list[list[Json]]:
    """The reasons of each company.

    Args:
        snapshot: the version that answers.
        fund_row: whose recommendation it is.
        company_rows: item rows; those that came after training have no position.
    """
    told: list[list[Json]] = [[] for _ in company_rows]
    if not company_rows:
        return told
    book = book_of(snapshot)
    _tell_domains(snapshot, fund_row, company_rows, told)
    _tell_funds(snapshot, book, fund_row, company_rows, told)
    _tell_companies(snapshot, book, fund_row, company_rows, told)
    return told


class Domains:
    """How the funds' money is spread over the values of every domain column."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Adds up the active funds once."""
        self._book = book = book_of(snapshot)
        self.codes = {name: codes_by_row(snapshot, name) for name in domain_columns(snapshot)}
        self.names = {name: snapshot.columns.coded(name).names for name in self.codes}
        num_funds = max(1, int(np.count_nonzero(book.active)))
        self.usual = {name: self._shares(name, book.current)[0] / num_funds for name in self.codes}

    def of_fund(self, name: str, fund_row: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The portfolio share and the number of companies of every value."""
        return self._shares(name, self._book.holdings(fund_row))

    def _shares(
        self, name: str, positions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        facts, size = self._book.facts, len(self.names[name])
        codes = self.codes[name][facts.company_rows[positions]]
        known = codes >= 0
        shares = facts.portfolio_shares[positions][known]
        return (
            np.bincount(codes[known], shares, minlength=size).astype(np.float64),
            np.bincount(codes[known], minlength=size).astype(np.int64),
        )


@kept
def domains_of(snapshot: Snapshot) -> Domains:
    """The version's domains, made once."""
    return Domains(snapshot)


def _tell_domains(
    snapshot: Snapshot,
    fund_row: int,
    company_rows: Sequence[int],
    told: list[list[Json]],
) -> None:
    """What the fund puts more money into than funds do on average, and the company is part of."""
    domains = domains_of(snapshot)
    found: list[list[tuple[float, Json]]] = [[] for _ in company_rows]
    for name, codes in domains.codes.items():
        shares, counts = domains.of_fund(name, fund_row)
        usual = domains.usual[name]
        for number, row in enumerate(company_rows):
            code = int(codes[row])
            if code < 0 or shares[code] <= usual[code]:
                continue
            reason = {
                "kind": "domain",
                "field": name,
                "value": domains.names[name][code],
                "portfolio_share": float(shares[code]),
                "usual_share": float(usual[code]),
                "num_companies": int(counts[code]),
            }
            found[number].append((float(shares[code] - usual[code]), reason))
    for list_, of_company in zip(told, found, strict=True):
        of_company.sort(key=lambda entry: -entry[0])
        list_ += [reason for _, reason in of_company[:_MAX_DOMAINS]]


def _tell_funds(
    snapshot: Snapshot,
    book: FundBook,
    fund_row: int,
    company_rows: Sequence[int],
    told: list[list[Json]],
) -> None:
    """Which of the most similar funds hold it."""
    similarities = by_portfolio(book, fund_row)
    similarities[fund_row] = 0
    nearest = np.argsort(-similarities, kind="stable")[:SIMILAR_FUNDS]
    is_near = np.zeros(book.num_users, np.bool_)
    is_near[nearest[similarities[nearest] > 0]] = True
    facts = book.facts
    for list_, row in zip(told, company_rows, strict=True):
        positions = book.holders(row)
        positions = positions[is_near[facts.fund_rows[positions]]]
        if not len(positions):
            continue
        order = np.argsort(-similarities[facts.fund_rows[positions]], kind="stable")
        funds = [
            {
                "fund_id": snapshot.artifact.user_ids[facts.fund_rows[position]],
                "name": facts.names[facts.fund_rows[position]],
                "similarity": float(similarities[facts.fund_rows[position]]),
                "portfolio_share": float(facts.portfolio_shares[position]),
            }
            for position in positions[order][:_MAX_FUNDS].tolist()
        ]
        list_.append({"kind": "funds", "num_funds": len(positions), "funds": funds})


def _tell_companies(
    snapshot: Snapshot,
    book: FundBook,
    fund_row: int,
    company_rows: Sequence[int],
    told: list[list[Json]],
) -> None:
    """Which of the fund's largest holdings the models find alike."""
    positions = book.holdings(fund_row)
    order = np.argsort(-book.facts.portfolio_shares[positions], kind="stable")
    held = book.facts.company_rows[positions[order][:_LARGEST_HOLDINGS]].astype(np.int64)
    if not len(held):
        return
    vectors = snapshot.similarity.unit_vectors
    likeness = vectors(np.array(company_rows, np.int64)) @ vectors(held).T  # [n, held]
    companies = companies_of(snapshot)
    for list_, row, of_company in zip(told, company_rows, likeness, strict=True):
        best = np.argsort(-of_company, kind="stable")
        best = best[(of_company[best] > 0) & (held[best] != row)][:_MAX_COMPANIES]
        alike = [
            companies.brief(int(held[number])) | {"similarity": float(of_company[number])}
            for number in best.tolist()
        ]
        if alike:
            list_.append({"kind": "companies", "companies": alike})

"""What the models expect of all funds at once: who enters a company, and where money goes next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.filters.columns import Mask
from service.funds.book import FundBook
from service.funds.companies import book_of, companies_of
from service.funds.facts import CLOSED, NEW
from service.funds.kept import kept
from service.snapshot import Snapshot

# Any: JSON.
Json: TypeAlias = dict[str, Any]

MAX_PER_FUND = 100
"""How many companies the list of a fund holds from which trends are counted."""

_CHUNK_FUNDS = 256
_MAX_FUNDS = 3
_TINY = 1e-12


class Expected:
    """The list of every active fund: the companies it does not hold, best first.

    Scores are standard deviations above the mean of the fund's scores over all companies, so that
    those of different funds can be compared.

    Attributes:
        fund_rows: [A] the active funds whose vectors say anything.
        company_rows: [A, n] int64.
        scores: [A, n] float64, falling.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        """Ranks every company for every active fund."""
        book = book_of(snapshot)
        artifact = snapshot.artifact
        self._items = artifact.items
        self.fund_rows = np.flatnonzero(book.active & artifact.users.any(axis=1))
        users = artifact.users[self.fund_rows].astype(np.float64)  # [A, D]
        self._means, self._deviations = _moments(artifact.items, users)
        count = min(MAX_PER_FUND, len(artifact.items))
        self.company_rows = np.zeros((len(self.fund_rows), count), np.int64)
        self.scores = np.full((len(self.fund_rows), count), -np.inf)
        for start in range(0, len(self.fund_rows), _CHUNK_FUNDS):
            part = slice(start, start + _CHUNK_FUNDS)
            scores = (users[part] @ artifact.items.T - self._means[part, None]) / np.maximum(
                self._deviations[part, None], _TINY
            )
            scores[:, snapshot.hidden_rows] = -np.inf
            for number, fund_row in enumerate(self.fund_rows[part].tolist()):
                scores[number, book.held_companies(fund_row)] = -np.inf
            order = best_columns(scores, count)
            self.company_rows[part] = order
            self.scores[part] = np.take_along_axis(scores, order, axis=1)
        self._users = users

    def of_company(self, company_row: int) -> NDArray[np.float64]:
        """How much a company stands out for every fund of `fund_rows` [A], held or not."""
        scores: NDArray[np.float64] = self._users @ self._items[company_row] - self._means
        return scores / np.maximum(self._deviations, _TINY)


@kept
def expected_of(snapshot: Snapshot) -> Expected:
    """The version's expectations, made once."""
    return Expected(snapshot)


def expected_investors(snapshot: Snapshot, company_row: int, k: int) -> list[Json]:
    """The funds that do not hold a company and rank it highest, best first."""
    book, expected = book_of(snapshot), expected_of(snapshot)
    facts, user_ids = book.facts, snapshot.artifact.user_ids
    scores = expected.of_company(company_row)
    holders = facts.fund_rows[book.holders(company_row)]
    scores[np.isin(expected.fund_rows, holders)] = -np.inf
    best = np.argsort(-scores, kind="stable")[:k]
    return [
        {
            "fund_id": user_ids[int(expected.fund_rows[number])],
            "name": facts.names[int(expected.fund_rows[number])],
            "rank": rank,
            "score": float(scores[number]),
        }
        for rank, number in enumerate(best[np.isfinite(scores[best])].tolist(), start=1)
    ]


@dataclass(frozen=True)
class Trends:
    """Companies and sectors, the most expected first, and how many funds were asked."""

    companies: list[Json]
    sectors: list[Json]
    num_funds: int


def trends(snapshot: Snapshot, k: int, per_fund: int, allowed: Mask) -> Trends:
    """Where institutional money is expected to go next.

    Args:
        snapshot: the version that answers.
        k: how many companies.
        per_fund: how far down the list of every fund to look, 1 to `MAX_PER_FUND`.
        allowed: [I] the companies that are counted.
    """
    expected, book = expected_of(snapshot), book_of(snapshot)
    rows, scores = expected.company_rows[:, :per_fund], expected.scores[:, :per_fund]
    counted = np.isfinite(scores) & allowed[rows]
    funds = np.repeat(np.arange(len(rows)), rows.shape[1])[counted.ravel()]
    companies, strengths = rows[counted], scores[counted]
    size = snapshot.index.num_items
    num_funds = np.bincount(companies, minlength=size)
    strength = np.bincount(companies, strengths, minlength=size) / np.maximum(num_funds, 1)
    found = np.flatnonzero(num_funds)
    best = found[np.lexsort((found, -strength[found], -num_funds[found]))][:k]
    changes = _changes(book, size)
    names = companies_of(snapshot)
    listed = [
        names.brief(row)
        | {
            "rank": rank,
            "num_funds": int(num_funds[row]),
            "score": float(strength[row]),
            "funds": _funds(
                snapshot, expected, funds[companies == row], strengths[companies == row]
            ),
            **{name: int(counts[row]) for name, counts in changes.items()},
            "momentum": _momentum(*(int(counts[row]) for counts in changes.values())),
        }
        for rank, row in enumerate(best.tolist(), start=1)
    ]
    sectors = _sectors(names.sectors, funds, companies, changes)
    return Trends(listed, sectors, len(expected.fund_rows))


def best_columns(scores: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The columns [n, count] of the greatest scores of every row, falling; ties in column order."""
    if count == scores.shape[1]:
        return np.argsort(-scores, axis=1, kind="stable").astype(np.int64)
    # Sorting every row as a whole would cost several times as much. Companies that tie with the
    # last of a list are looked at together, so that the lowest rows come.
    limits = np.partition(scores, -count, axis=1)[:, -count]
    best = np.empty((len(scores), count), np.int64)
    for number, limit in enumerate(limits.tolist()):
        candidates = np.flatnonzero(scores[number] >= limit)
        order = np.argsort(-scores[number, candidates], kind="stable")[:count]
        best[number] = candidates[order]
    return best


def _sectors(
    sectors: Sequence[str | None],
    funds: NDArray[np.int64],
    companies: NDArray[np.int64],
    changes: dict[str, NDArray[np.int64]],
) -> list[Json]:
    """Every sector by the number of funds expected to enter a company of it."""
    known = sorted({sector for sector in sectors if sector is not None})
    of = {sector: number for number, sector in enumerate(known)}
    codes = np.array([-1 if sector is None else of[sector] for sector in sectors], np.int64)
    listed: list[Json] = []
    for number, sector in enumerate(known):
        inside = codes[companies] == number
        counts = {name: int(values[codes == number].sum()) for name, values in changes.items()}
        listed.append(
            {
                "sector": sector,
                "num_funds": len(np.unique(funds[inside])),
                "expected_share": float(np.mean(inside)) if len(inside) else 0.0,
                **counts,
                "momentum": _momentum(*counts.values()),
            }
        )
    return sorted(listed, key=lambda entry: (-entry["expected_share"], entry["sector"]))


def _changes(book: FundBook, size: int) -> dict[str, NDArray[np.int64]]:
    """How many funds held each company [I] in the newest complete quarter, entered and left it."""
    facts = book.facts
    positions = np.flatnonzero(facts.quarter_rows == book.complete_quarter)
    companies, kinds = facts.company_rows[positions], facts.changes[positions]
    return {
        "num_holders": np.bincount(companies[kinds != CLOSED], minlength=size),
        "entered": np.bincount(companies[kinds == NEW], minlength=size),
        "left": np.bincount(companies[kinds == CLOSED], minlength=size),
    }


def _momentum(num_holders: int, entered: int, left: int) -> float:
    """Net entries as a part of all funds that hold or held: -1 to 1."""
    return (entered - left) / max(1, num_holders + left)


def _funds(
    snapshot: Snapshot,
    expected: Expected,
    numbers: NDArray[np.int64],
    strengths: NDArray[np.float64],
) -> list[Json]:
    """The funds in whose lists a company stands out most."""
    names, user_ids = book_of(snapshot).facts.names, snapshot.artifact.user_ids
    best = numbers[np.argsort(-strengths, kind="stable")][:_MAX_FUNDS]
    rows = expected.fund_rows[best].tolist()
    return [{"fund_id": user_ids[row], "name": names[row]} for row in rows]


def _moments(
    items: NDArray[np.float32], users: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation [A] of every user's scores over the items."""
    mean = items.mean(axis=0, dtype=np.float64)
    second = np.zeros((items.shape[1], items.shape[1]))
    for start in range(0, len(items), 1 << 16):
        chunk = items[start : start + (1 << 16)].astype(np.float64)
        second += chunk.T @ chunk
    covariance = second / max(1, len(items)) - np.outer(mean, mean)
    variance = ((users @ covariance) * users).sum(axis=1)
    return users @ mean, np.sqrt(np.maximum(variance, 0.0))

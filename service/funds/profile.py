"""What a fund or a company looks like in the data: holdings, sectors, history."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.funds.book import FundBook, Quarter, day_of
from service.funds.companies import book_of, companies_of
from service.funds.facts import CHANGES, CLOSED
from service.snapshot import Snapshot

# Any: JSON.
Json: TypeAlias = dict[str, Any]


def summary(snapshot: Snapshot, fund_row: int, quarter: Quarter | None = None) -> Json:
    """A fund as of a quarter it reported, by default its newest."""
    book = book_of(snapshot)
    facts = book.facts
    if quarter is None and book.last_quarters[fund_row] >= 0:
        quarter = book.quarters[book.last_quarters[fund_row]]
    positions = book.of_fund(fund_row)
    number = -1 if quarter is None else quarter.number
    reported = positions[facts.quarter_rows[positions] == number]
    held = reported[facts.changes[reported] != CLOSED]
    return {
        "fund_id": snapshot.artifact.user_ids[fund_row],
        "name": facts.names[fund_row],
        "cik": facts.ciks[fund_row],
        "quarter": None if quarter is None else quarter.name,
        "quarter_end": None if quarter is None else quarter.end.isoformat(),
        "filed": _filed(book, reported),
        "num_holdings": len(held),
        "value_usd": float(facts.values[held].sum()),
    }


def holdings(snapshot: Snapshot, fund_row: int, quarter: Quarter | None, k: int) -> list[Json]:
    """The largest holdings of a fund."""
    book = book_of(snapshot)
    facts = book.facts
    positions = book.holdings(fund_row, None if quarter is None else quarter.number)
    order = np.argsort(-facts.values[positions], kind="stable")[:k]
    companies = companies_of(snapshot)
    return [
        companies.brief(int(facts.company_rows[position]))
        | {
            "rank": rank,
            "value_usd": float(facts.values[position]),
            "portfolio_share": float(facts.portfolio_shares[position]),
            "change": CHANGES[facts.changes[position]],
        }
        for rank, position in enumerate(positions[order].tolist(), start=1)
    ]


def sectors(snapshot: Snapshot, fund_row: int, quarter: Quarter | None) -> list[Json]:
    """A fund's portfolio by sector, largest first; companies of unknown sector are one of None."""
    book, companies = book_of(snapshot), companies_of(snapshot)
    facts = book.facts
    found: dict[str | None, Json] = {}
    for position in book.holdings(fund_row, None if quarter is None else quarter.number).tolist():
        sector = companies.sectors[int(facts.company_rows[position])]
        entry = found.setdefault(
            sector, {"sector": sector, "num_companies": 0, "value_usd": 0.0, "portfolio_share": 0.0}
        )
        entry["num_companies"] += 1
        entry["value_usd"] += float(facts.values[position])
        entry["portfolio_share"] += float(facts.portfolio_shares[position])
    return sorted(found.values(), key=lambda entry: -entry["portfolio_share"])


def fund_history(snapshot: Snapshot, fund_row: int) -> list[Json]:
    """Every quarter a fund reported, newest last."""
    book = book_of(snapshot)
    positions = book.of_fund(fund_row)
    listed = []
    for quarter in book.reported(fund_row):
        of_quarter = positions[book.facts.quarter_rows[positions] == quarter.number]
        counts = _counts(book, of_quarter)
        counts["num_holdings"] = counts.pop("num_held")
        listed.append(_dated(quarter) | {"filed": _filed(book, of_quarter)} | counts)
    return listed


def company_history(snapshot: Snapshot, company_row: int) -> list[Json]:
    """Every quarter in which a company was held or sold, newest last."""
    book = book_of(snapshot)
    positions = book.of_company(company_row)
    numbers = book.facts.quarter_rows[positions]
    listed = []
    for number in np.unique(numbers).tolist():
        counts = _counts(book, positions[numbers == number])
        counts["num_holders"] = counts.pop("num_held")
        listed.append(_dated(book.quarters[number]) | counts)
    return listed


def holders(snapshot: Snapshot, company_row: int) -> list[Json]:
    """The funds that hold a company, the largest positions first."""
    book = book_of(snapshot)
    facts, user_ids = book.facts, snapshot.artifact.user_ids
    positions = book.holders(company_row)
    order = np.argsort(-facts.values[positions], kind="stable")
    return [
        {
            "fund_id": user_ids[facts.fund_rows[position]],
            "name": facts.names[facts.fund_rows[position]],
            "rank": rank,
            "quarter": book.quarters[facts.quarter_rows[position]].name,
            "value_usd": float(facts.values[position]),
            "portfolio_share": float(facts.portfolio_shares[position]),
            "change": CHANGES[facts.changes[position]],
        }
        for rank, position in enumerate(positions[order].tolist(), start=1)
    ]


def by_value(snapshot: Snapshot) -> Sequence[int]:
    """All fund rows that ever reported: active ones first, the greatest portfolio first."""
    book = book_of(snapshot)
    values = np.zeros(book.num_users)
    np.add.at(values, book.facts.fund_rows[book.current], book.facts.values[book.current])
    order = np.lexsort((-values, ~book.active))
    rows: list[int] = order[book.last_quarters[order] >= 0].tolist()
    return rows


def _dated(quarter: Quarter) -> Json:
    return {"quarter": quarter.name, "quarter_end": quarter.end.isoformat()}


def _filed(book: FundBook, positions: NDArray[np.int64]) -> str | None:
    if not len(positions):
        return None
    return day_of(int(book.facts.filed[positions].max())).isoformat()


def _counts(book: FundBook, positions: NDArray[np.int64]) -> Json:
    changes = book.facts.changes[positions]
    held = changes != CLOSED
    numbers = np.bincount(changes, minlength=len(CHANGES)).tolist()
    return {
        "num_held": int(np.count_nonzero(held)),
        "value_usd": float(book.facts.values[positions][held].sum()),
        **dict(zip(CHANGES, numbers, strict=True)),
    }

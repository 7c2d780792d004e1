"""The positions of one version by fund, by company and by quarter."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidParameter
from service.funds.facts import CLOSED, FundFacts

_DAY_S = 86_400
Positions = NDArray[np.int64]
"""Row numbers into the columns of `FundFacts`."""


@dataclass(frozen=True)
class Quarter:
    """A reported quarter: its number among all, its name such as ``2025Q1``, its last day."""

    number: int
    name: str
    end: date


class FundBook:
    """Lookups over the facts of one version; immutable but for what is computed once."""

    def __init__(self, facts: FundFacts, num_users: int, num_items: int) -> None:
        """Sorts once; the arrays themselves stay mapped.

        Args:
            facts: checked facts.
            num_users: U.
            num_items: I; items that came after training have no position.
        """
        self.facts = facts
        self._of_fund = np.searchsorted(facts.fund_rows, np.arange(num_users + 1))  # [U + 1]
        self._by_company = np.argsort(facts.company_rows, kind="stable").astype(np.int64)
        self._of_company = np.searchsorted(
            facts.company_rows[self._by_company], np.arange(num_items + 1)
        )
        self.quarters = tuple(
            Quarter(number, quarter_name(day_of(int(day))), day_of(int(day)))
            for number, day in enumerate(facts.quarters)
        )
        self.num_users, self.num_items = num_users, num_items

    @property
    def data_date(self) -> date | None:
        """The last day of the newest quarter anybody reported; None without any position."""
        return self.quarters[-1].end if self.quarters else None

    @cached_property
    def filed_until(self) -> date | None:
        """When the newest report was filed."""
        filed = self.facts.filed
        return day_of(int(filed.max())) if len(filed) else None

    @cached_property
    def last_quarters(self) -> NDArray[np.int64]:
        """The number of the newest quarter that each fund reported [U]; -1 for none."""
        last = np.full(self.num_users, -1, np.int64)
        np.maximum.at(last, self.facts.fund_rows, self.facts.quarter_rows)
        last.flags.writeable = False
        return last

    @cached_property
    def active(self) -> NDArray[np.bool_]:
        """Which funds [U] reported one of the two newest quarters: the newest is never complete."""
        active: NDArray[np.bool_] = (self.last_quarters >= len(self.quarters) - 2) & (
            self.last_quarters >= 0
        )
        active.flags.writeable = False
        return active

    @cached_property
    def current(self) -> Positions:
        """All that active funds hold, as of the newest report of each."""
        facts = self.facts
        funds = facts.fund_rows
        newest = facts.quarter_rows == self.last_quarters[funds]
        return np.flatnonzero(newest & self.active[funds] & (facts.changes != CLOSED))

    @cached_property
    def num_holders(self) -> NDArray[np.int64]:
        """How many active funds hold each company [I]."""
        return np.bincount(self.facts.company_rows[self.current], minlength=self.num_items).astype(
            np.int64
        )

    @cached_property
    def complete_quarter(self) -> int:
        """The newest quarter that at least half as many funds reported as the one before it."""
        reported = np.unique(
            np.stack([self.facts.quarter_rows, self.facts.fund_rows]).astype(np.int64), axis=1
        )[0]
        counts = np.bincount(reported, minlength=len(self.quarters))
        last = len(counts) - 1
        return last - 1 if last > 0 and counts[last] < counts[last - 1] / 2 else last

    def quarter(self, name: str) -> Quarter:
        """The quarter of a name such as ``2025Q1``.

        Raises:
            InvalidParameter: nobody reported it; the first and the last one are named.
        """
        found = next((quarter for quarter in self.quarters if quarter.name == name), None)
        if found is None:
            known = (
                f"{self.quarters[0].name} to {self.quarters[-1].name}" if self.quarters else "no"
            )
            raise InvalidParameter(
                f"quarter {name!r} is in no report; write it like 2025Q1, there are {known}"
            )
        return found

    def of_fund(self, fund_row: int) -> Positions:
        """Every position that a fund ever reported, by quarter, then company."""
        return np.arange(self._of_fund[fund_row], self._of_fund[fund_row + 1], dtype=np.int64)

    def reported(self, fund_row: int) -> list[Quarter]:
        """The quarters a fund reported, in order."""
        numbers = np.unique(self.facts.quarter_rows[self.of_fund(fund_row)])
        return [self.quarters[number] for number in numbers.tolist()]

    def holdings(self, fund_row: int, quarter: int | None = None) -> Positions:
        """What a fund holds, closed positions left out; by default as of its newest report."""
        positions = self.of_fund(fund_row)
        wanted = self.last_quarters[fund_row] if quarter is None else quarter
        facts = self.facts
        kept = (facts.quarter_rows[positions] == wanted) & (facts.changes[positions] != CLOSED)
        found: Positions = positions[kept]
        return found

    def held_companies(self, fund_row: int) -> NDArray[np.int64]:
        """Item rows that a fund holds as of its newest report, rising."""
        return self.facts.company_rows[self.holdings(fund_row)].astype(np.int64)

    def former_companies(self, fund_row: int) -> NDArray[np.int64]:
        """Item rows that a fund held once and holds no more, rising."""
        ever = self.facts.company_rows[self.of_fund(fund_row)].astype(np.int64)
        return np.setdiff1d(ever, self.held_companies(fund_row))

    def of_company(self, company_row: int) -> Positions:
        """Every position anybody ever reported of a company, by fund, then quarter."""
        if company_row >= self.num_items:
            return np.zeros(0, np.int64)
        start, end = self._of_company[company_row : company_row + 2]
        return self._by_company[start:end]

    def holders(self, company_row: int) -> Positions:
        """The current positions of active funds in a company."""
        positions = self.of_company(company_row)
        facts = self.facts
        funds = facts.fund_rows[positions]
        newest = facts.quarter_rows[positions] == self.last_quarters[funds]
        found: Positions = positions[
            newest & self.active[funds] & (facts.changes[positions] != CLOSED)
        ]
        return found


def day_of(days: int) -> date:
    """The day that lies so many days after 1970-01-01."""
    return datetime.fromtimestamp(days * _DAY_S, UTC).date()


def quarter_name(day: date) -> str:
    """The name of the quarter a day lies in, such as ``2025Q1``."""
    return f"{day.year}Q{(day.month + 2) // 3}"

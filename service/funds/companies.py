"""The listed companies of a version: their names and other attributes by role."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidParameter
from service.filters.fields import FieldKind
from service.funds.book import FundBook
from service.funds.errors import NoFundData
from service.funds.facts import FundFacts, Role
from service.funds.kept import kept
from service.funds.names import NameSearch
from service.snapshot import Snapshot


def facts_of(snapshot: Snapshot) -> FundFacts:
    """The version's facts.

    Raises:
        NoFundData: it has none.
    """
    facts = snapshot.artifact.funds
    if facts is None:
        raise NoFundData(
            f"version {snapshot.version} knows no fund companies; name a catalog that does, or"
            " publish a dataset that `mutualrec import sec13f` made"
        )
    return facts


@kept
def _book(facts: FundFacts) -> FundBook:
    num_items = int(facts.company_rows.max(initial=-1)) + 1
    return FundBook(facts, len(facts.names), num_items)


def book_of(snapshot: Snapshot) -> FundBook:
    """The version's positions. Raises NoFundData."""
    return _book(facts_of(snapshot))


def column_of(snapshot: Snapshot, role: Role) -> str:
    """The metadata column of a role.

    Raises:
        InvalidParameter: this catalog has none.
    """
    column = facts_of(snapshot).columns.get(role)
    if column is None or snapshot.columns.fields.get(column) != FieldKind("text"):
        raise InvalidParameter(
            f"the companies of this catalog have no {role}; import them with a company table that"
            f" has a column {role!r}, or use filter"
        )
    return column


class Companies:
    """Names and attributes of one version's companies; row numbers are item rows."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Reads the names."""
        facts = facts_of(snapshot)
        self._ids = snapshot.artifact.item_ids
        metadata = snapshot.artifact.item_metadata
        columns = {
            role: None if metadata is None or column not in metadata.column_names else column
            for role, column in facts.columns.items()
        }
        name = columns.get("name")
        found: list[Any] = (
            [None] * len(self._ids)
            if metadata is None or name is None
            else metadata.column(name).to_pylist()
        )
        self.names = [None if value is None else str(value) for value in found]
        sector = columns.get("sector")
        self.sectors: list[str | None] = [None] * len(self._ids)
        if sector is not None and sector in snapshot.columns.fields:
            names = snapshot.columns.coded(sector).names
            codes = codes_by_row(snapshot, sector).tolist()
            self.sectors = [None if code < 0 else names[code] for code in codes]
        self.search = NameSearch(self._ids, self.names)

    def brief(self, row: int) -> dict[str, str | None]:
        """What every list says of a company."""
        return {
            "company_id": self._ids[row],
            "name": self.names[row],
            "sector": self.sectors[row],
        }


@kept
def companies_of(snapshot: Snapshot) -> Companies:
    """The version's companies, made once. Raises NoFundData."""
    return Companies(snapshot)


def domain_columns(snapshot: Snapshot) -> list[str]:
    """The metadata columns that say which domains a company belongs to.

    They are the catalog's category fields; without any, what is known of sector, country and size.
    """
    listed = snapshot.artifact.manifest.category_fields or sorted(
        column for role, column in facts_of(snapshot).columns.items() if role != "name"
    )
    return [name for name in listed if name in snapshot.columns.fields]


def codes_by_row(snapshot: Snapshot, column: str) -> NDArray[np.int64]:
    """The code of every item's value in a column [I], -1 for none; of a list the last one."""
    coded = snapshot.columns.coded(column)
    codes = np.full(len(snapshot.artifact.item_ids), -1, np.int64)
    codes[coded.rows] = coded.codes
    return codes

"""What an import of Form 13F read, left out, merged and corrected, so that every line adds up."""

import json
from dataclasses import asdict, dataclass, field

import polars as pl

SCHEMA_VERSION = "1"


@dataclass(frozen=True)
class Reconciliation:
    """Counts of one import. ``lines_read`` is the sum of the line counts below it.

    Attributes:
        data_sets: Zips or folders that were read.
        managers: Fund companies with a report.
        filings: Holdings reports.
        notices: Filings that are none (13F-NT).
        filings_replaced: Reports replaced by a later one for the same quarter.
        amendments: Restatements and reports of new holdings among the filings.
        issuers: Companies in the positions.
        issuers_with_attributes: Those with a row in a table of companies.
        etfs: Exchange-traded funds among the issuers.
        lines_read: Lines of the information tables.
        lines_rejected: Lines that cannot be used.
        lines_of_notices: Lines of filings that are no holdings reports.
        lines_options: Options.
        lines_principal: Principal amounts of debt.
        lines_empty: Lines without value and shares.
        lines_replaced: Lines of replaced filings.
        positions: Lines that count.
        share_classes_merged: Lines that joined another one of the same issuer, quarter and fund.
        holdings: Fund, company and quarter: positions - share_classes_merged.
        closed: Positions that ended; with the holdings they are the events.
        events: Events by change.
        first_quarter: First quarter of the positions, ISO date.
        last_quarter: Last quarter.
        filings_comparable: Filings whose units could be compared with others'.
        filings_corrected: Those corrected: accession, fund_id, name, quarter, factor.
        splits: Stock splits that were taken out: company_id, quarter, ratio.
    """

    data_sets: int
    managers: int
    filings: int
    notices: int
    filings_replaced: int
    amendments: int
    issuers: int
    issuers_with_attributes: int
    etfs: int
    lines_read: int
    lines_rejected: int
    lines_of_notices: int
    lines_options: int
    lines_principal: int
    lines_empty: int
    lines_replaced: int
    positions: int
    share_classes_merged: int
    holdings: int
    closed: int
    events: dict[str, int]
    first_quarter: str
    last_quarter: str
    filings_comparable: int
    filings_corrected: list[dict[str, object]] = field(default_factory=list)
    splits: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse counts that do not add up: that is a defect of the importer, never of the data."""
        lines = self.lines_rejected + self.lines_of_notices + self.lines_options
        lines += self.lines_principal + self.lines_empty + self.lines_replaced + self.positions
        if lines != self.lines_read:
            raise AssertionError(f"{self.lines_read} lines were read but {lines} accounted for")
        if self.positions - self.share_classes_merged != self.holdings:
            raise AssertionError(f"{self.positions} positions do not merge to {self.holdings}")
        if sum(self.events.values()) != self.holdings + self.closed:
            raise AssertionError(f"{self.events} are not {self.holdings} + {self.closed} events")

    def to_json(self) -> str:
        """Indented JSON text with the schema version."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **asdict(self)}, indent=2) + "\n"

    def counts(self) -> dict[str, int]:
        """Counts for the one line that the command prints."""
        return {
            "managers": self.managers,
            "issuers": self.issuers,
            "issuers with attributes": self.issuers_with_attributes,
            "filings": self.filings,
            "positions": self.positions,
            "events": sum(self.events.values()),
            "filings with corrected units": len(self.filings_corrected),
        }


def corrected_list(filings: pl.DataFrame) -> list[dict[str, object]]:
    """List the filings with corrected units, oldest first."""
    corrected = filings.filter(pl.col("corrected_factor") != 1.0).sort("quarter", "fund_id")
    return corrected.select(
        "accession", "fund_id", "name", pl.col("quarter").cast(pl.String), factor="corrected_factor"
    ).to_dicts()

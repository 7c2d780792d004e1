"""Filings in the layout of the SEC's Form 13F data sets, for tests."""

import json
from datetime import date
from pathlib import Path

import polars as pl

from training.data.importers.sec13f import import_sec13f

Table = list[list[object]]
SUBMISSION = ["ACCESSION_NUMBER", "FILING_DATE", "SUBMISSIONTYPE", "CIK", "PERIODOFREPORT"]
COVERPAGE = ["ACCESSION_NUMBER", "ISAMENDMENT", "AMENDMENTTYPE", "FILINGMANAGER_NAME"]
INFOTABLE = [
    "ACCESSION_NUMBER",
    "NAMEOFISSUER",
    "TITLEOFCLASS",
    "CUSIP",
    "VALUE",
    "SSHPRNAMT",
    "SSHPRNAMTTYPE",
    "PUTCALL",
]
QUARTERS = {"q1": ("31-MAR-2024", "14-MAY-2024"), "q2": ("30-JUN-2024", "13-AUG-2024")}
ACME, BOLT, COIL = "001084102", "111111101", "222222202"


def table_text(header: list[str], rows: Table) -> str:
    lines = ["\t".join(header), *("\t".join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"


class Filings:
    """Writes filings in the layout of the SEC's bulk data."""

    def __init__(self) -> None:
        self.submissions: Table = []
        self.covers: Table = []
        self.lines: Table = []

    def file(
        self,
        fund: str,
        quarter: str,
        holdings: dict[str, tuple[object, object]],
        *,
        filed: str | None = None,
        amendment: str = "",
        cik: str = "",
        kind: str = "13F-HR",
    ) -> str:
        accession = f"{fund}-{quarter}-{len(self.submissions)}"
        period, day = QUARTERS[quarter]
        kind += "/A" if amendment else ""
        self.submissions.append([accession, filed or day, kind, cik, period])
        self.covers.append([accession, "Y" if amendment else "N", amendment, fund])
        for cusip, (value, shares) in holdings.items():
            self.line(accession, cusip, value, shares)
        return accession

    def line(
        self,
        accession: str,
        cusip: str,
        value: object,
        shares: object,
        *,
        kind: str = "SH",
        put_call: str = "",
        issuer: str = "SOME CORP",
    ) -> None:
        self.lines.append([accession, issuer, "COM", cusip, value, shares, kind, put_call])

    def tables(self) -> dict[str, str]:
        return {
            "SUBMISSION.tsv": table_text(SUBMISSION, self.submissions),
            "COVERPAGE.tsv": table_text(COVERPAGE, self.covers),
            "INFOTABLE.tsv": table_text(INFOTABLE, self.lines),
        }

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.tables().items():
            (folder / name).write_text(text, encoding="utf-8")
        return folder


def positions_of(source: Path, **options: object) -> pl.DataFrame:
    """The positions that importing a folder of filings makes."""
    target = source.parent / "out"
    import_sec13f(source, target, **options)  # type: ignore[arg-type]  # keywords of the import
    return pl.read_parquet(target / "funds" / "positions.parquet")


def changes_of(positions: pl.DataFrame) -> dict[str, str]:
    """What became of each company in the second quarter."""
    second = positions.filter(pl.col("quarter") == date(2024, 6, 30))
    return dict(second.select("company_id", "change").iter_rows())


def balance_of(folder: Path) -> dict[str, object]:
    """The reconciliation of an imported folder."""
    read: dict[str, object] = json.loads((folder / "funds" / "reconciliation.json").read_text())
    return read

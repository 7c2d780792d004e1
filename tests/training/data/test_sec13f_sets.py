import json
import zipfile
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from thirteen_f import ACME, Filings

from training.data.importers.sec13f import import_sec13f


@pytest.fixture
def filings() -> Filings:
    return Filings()


def _positions(source: Path, **options: object) -> pl.DataFrame:
    target = source.parent / "out"
    import_sec13f(source, target, **options)  # type: ignore[arg-type]  # keywords of the import
    return pl.read_parquet(target / "funds" / "positions.parquet")


def _changes(positions: pl.DataFrame) -> dict[str, str]:
    second = positions.filter(pl.col("quarter") == date(2024, 6, 30))
    return dict(second.select("company_id", "change").iter_rows())


def _balance(folder: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((folder / "funds" / "reconciliation.json").read_text())
    return read


def test_zips_and_folders_of_several_quarters_are_one_dataset(
    tmp_path: Path, filings: Filings
) -> None:
    filings.file("A", "q1", {ACME: (10, 1)})
    filings.write(tmp_path / "in" / "2024q1")
    later = Filings()
    later.file("A", "q2", {ACME: (10, 2)})
    with zipfile.ZipFile(tmp_path / "in" / "2024q2_form13f.zip", "w") as archive:
        for name, text in later.tables().items():
            archive.writestr(f"2024q2/{name}", text)

    positions = _positions(tmp_path / "in")

    assert _changes(positions) == {"001084": "increased"}
    assert _balance(tmp_path / "out")["data_sets"] == 2


def test_a_filing_in_two_sets_counts_once(tmp_path: Path, filings: Filings) -> None:
    filings.file("A", "q1", {ACME: (10, 1)})
    filings.write(tmp_path / "in" / "one")
    filings.write(tmp_path / "in" / "two")

    positions = _positions(tmp_path / "in")

    assert positions["shares"].to_list() == [1.0]

import zipfile
from pathlib import Path

import pytest
from thirteen_f import ACME, Filings, balance_of, changes_of, positions_of


@pytest.fixture
def filings() -> Filings:
    return Filings()


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

    positions = positions_of(tmp_path / "in")

    assert changes_of(positions) == {"001084": "increased"}
    assert balance_of(tmp_path / "out")["data_sets"] == 2


def test_a_filing_in_two_sets_counts_once(tmp_path: Path, filings: Filings) -> None:
    filings.file("A", "q1", {ACME: (10, 1)})
    filings.write(tmp_path / "in" / "one")
    filings.write(tmp_path / "in" / "two")

    positions = positions_of(tmp_path / "in")

    assert positions["shares"].to_list() == [1.0]

from pathlib import Path

import polars as pl
import pytest
from thirteen_f import ACME, BOLT, COVERPAGE, Filings, table_text

from training.data.importers.sec13f import import_sec13f
from training.errors import SchemaError


@pytest.fixture
def filings() -> Filings:
    return Filings()


@pytest.mark.parametrize(
    ("cusip", "value", "shares", "reason"),
    [
        ("1084102", "10", "1", None),
        ("12", "10", "1", "CUSIP '12' is not 9 letters and digits"),
        ("12 345678", "10", "1", "CUSIP '12 345678' is not 9 letters and digits"),
        (ACME, "ten", "1", "VALUE 'ten' is no amount"),
        (ACME, "10", "-1", "SSHPRNAMT '-1' is no amount"),
        (ACME, "", "1", "VALUE '' is no amount"),
    ],
)
def test_a_line_that_cannot_be_used_is_rejected_with_file_and_line(
    tmp_path: Path, filings: Filings, cusip: str, value: str, shares: str, reason: str | None
) -> None:
    filings.file("A", "q1", {BOLT: (10, 1), cusip: (value, shares)})
    source = filings.write(tmp_path / "in")

    report = import_sec13f(source, tmp_path / "out")

    expected = [] if reason is None else [(str(source / "INFOTABLE.tsv"), 3, reason)]
    file = report.reject_file
    assert ([] if file is None else pl.read_csv(file).rows()) == expected


def test_a_wrong_date_names_file_and_line(tmp_path: Path, filings: Filings) -> None:
    filings.file("A", "q1", {ACME: (10, 1)})
    filings.file("B", "q1", {ACME: (10, 1)}, filed="14-XXX-2024")
    source = filings.write(tmp_path / "in")

    with pytest.raises(SchemaError, match=r"SUBMISSION.tsv: line 3: .*FILING_DATE"):
        import_sec13f(source, tmp_path / "out")


def test_a_line_with_too_many_fields_names_file_and_line(tmp_path: Path, filings: Filings) -> None:
    filings.file("A", "q1", {ACME: (10, 1)})
    source = filings.write(tmp_path / "in")
    with (source / "INFOTABLE.tsv").open("a") as file:
        file.write("\t" * 9 + "\n")

    with pytest.raises(SchemaError, match=r"INFOTABLE.tsv: line 3 has 10 fields, the header has 8"):
        import_sec13f(source, tmp_path / "out")


def test_a_broken_line_of_companies_names_file_and_line(tmp_path: Path, filings: Filings) -> None:
    filings.file("A", "q1", {ACME: (10, 1)})
    source = filings.write(tmp_path / "in")
    (source / "companies.csv").write_text("cusip6,sector\n001084,Tech,more\n")

    with pytest.raises(SchemaError, match=r"companies.csv: line 2 has 3 fields"):
        import_sec13f(source, tmp_path / "out")


def test_a_missing_table_or_column_is_named(tmp_path: Path, filings: Filings) -> None:
    filings.file("A", "q1", {ACME: (10, 1)})
    source = filings.write(tmp_path / "in")
    text = (source / "INFOTABLE.tsv").read_text()
    (source / "INFOTABLE.tsv").write_text(text.replace("CUSIP", "CUSP"))

    with pytest.raises(SchemaError, match=r"INFOTABLE.tsv: line 1: column CUSIP is missing"):
        import_sec13f(source, tmp_path / "out")
    (source / "INFOTABLE.tsv").unlink()
    with pytest.raises(SchemaError, match=r"lacks INFOTABLE.tsv"):
        import_sec13f(source, tmp_path / "out")
    (tmp_path / "out2").mkdir()
    with pytest.raises(SchemaError, match="holds no Form 13F data set"):
        import_sec13f(tmp_path / "out2", tmp_path / "out")


def test_nothing_is_written_when_the_import_fails(tmp_path: Path, filings: Filings) -> None:
    filings.file("A", "q1", {ACME: (10, 1)})
    source = filings.write(tmp_path / "in")
    import_sec13f(source, tmp_path / "out")
    before = (tmp_path / "out" / "funds" / "positions.parquet").read_bytes()
    (source / "COVERPAGE.tsv").write_text(table_text(COVERPAGE, []))

    with pytest.raises(SchemaError, match="no manager's name"):
        import_sec13f(source, tmp_path / "out")

    assert (tmp_path / "out" / "funds" / "positions.parquet").read_bytes() == before

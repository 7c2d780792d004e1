from datetime import date
from pathlib import Path

import polars as pl
import pytest
from thirteen_f import ACME, BOLT, COIL, Filings, balance_of, changes_of, positions_of

from training.data.dataset import read_dataset
from training.data.importers.sec13f import import_sec13f
from training.data.splits import known_pairs
from training.inputs import build_inputs


@pytest.fixture
def filings() -> Filings:
    return Filings()


def test_a_position_is_new_increased_reduced_held_or_closed_against_the_report_before(
    tmp_path: Path, filings: Filings
) -> None:
    filings.file("A", "q1", {ACME: (10, 1), BOLT: (10, 1), COIL: (10, 4), "333333303": (1, 1)})
    filings.file("A", "q2", {ACME: (10, 1), BOLT: (20, 2), COIL: (5, 2), "444444404": (5, 2)})

    positions = positions_of(filings.write(tmp_path / "in"))

    assert changes_of(positions) == {
        "001084": "held",
        "111111": "increased",
        "222222": "reduced",
        "333333": "closed",
        "444444": "new",
    }
    first = positions.filter(pl.col("quarter") == date(2024, 3, 31))
    assert set(first["change"]) == {"held"}


def test_events_are_dated_by_filing_and_weighed_by_their_share(
    tmp_path: Path, filings: Filings
) -> None:
    filings.file("A", "q1", {ACME: (30, 1), BOLT: (10, 1)})

    import_sec13f(filings.write(tmp_path / "in"), tmp_path / "out")
    ds = read_dataset(tmp_path / "out")

    assert ds.interactions.values.tolist() == [0.75, 0.25]
    assert ds.interactions.timestamps is not None
    assert ds.interactions.timestamps.tolist() == [1_715_644_800_000] * 2  # 2024-05-14
    assert ds.event_types["closed"].sign == "negative"


def test_share_classes_are_one_company_and_funds_of_a_family_are_not(
    tmp_path: Path, filings: Filings
) -> None:
    accession = filings.file("A", "q1", {"02079K107": (10, 1), "02079K305": (10, 2)})
    filings.line(accession, "464287200", 10, 1, issuer="ISHARES TR")
    filings.line(accession, "464287655", 10, 1, issuer="ISHARES TR")
    filings.line(accession, "030371108", 10, 1, issuer="AMERICAN VANGUARD CORP")

    positions = positions_of(filings.write(tmp_path / "in"))
    items = pl.read_parquet(tmp_path / "out" / "items.parquet")

    held = dict(positions.select("company_id", "shares").iter_rows())
    assert held == {"02079K": 3.0, "464287200": 1.0, "464287655": 1.0, "030371": 1.0}
    assert set(items.filter(pl.col("etf") == "yes")["item_id"]) == {"464287200", "464287655"}


def test_cusips_stay_text_and_get_lost_zeros_back(tmp_path: Path, filings: Filings) -> None:
    filings.file("A", "q1", {"1084102": (10, 1), "00287y109": (10, 1)})

    positions = positions_of(filings.write(tmp_path / "in"))

    assert positions["company_id"].to_list() == ["001084", "00287Y"]


def test_options_and_debt_are_nopositions_of(tmp_path: Path, filings: Filings) -> None:
    accession = filings.file("A", "q1", {ACME: (10, 1)})
    filings.line(accession, BOLT, 10, 1, put_call="Put")
    filings.line(accession, COIL, 10, 1, kind="PRN")

    positions = positions_of(filings.write(tmp_path / "in"))

    assert positions["company_id"].to_list() == ["001084"]
    balance = balance_of(tmp_path / "out")
    assert (balance["lines_options"], balance["lines_principal"]) == (1, 1)


def test_a_restatement_replaces_and_new_holdings_add(tmp_path: Path, filings: Filings) -> None:
    filings.file("A", "q1", {ACME: (10, 1), BOLT: (10, 1)})
    filings.file("A", "q1", {ACME: (10, 2)}, amendment="RESTATEMENT", filed="20-MAY-2024")
    filings.file("A", "q1", {COIL: (10, 5)}, amendment="NEW HOLDINGS", filed="25-MAY-2024")

    positions = positions_of(filings.write(tmp_path / "in"))

    held = dict(positions.select("company_id", "shares").iter_rows())
    assert held == {"001084": 2.0, "222222": 5.0}
    reports = pl.read_parquet(tmp_path / "out" / "funds" / "filings.parquet").sort("filed")
    assert reports["used"].to_list() == [False, True, True]
    assert reports["amendment"].to_list() == ["none", "restatement", "new_holdings"]
    assert positions["filed"].to_list() == [date(2024, 5, 20), date(2024, 5, 25)]


def test_values_are_thousands_before_2023_and_dollars_after(
    tmp_path: Path, filings: Filings
) -> None:
    filings.file("A", "q1", {ACME: (10, 1)}, filed="30-DEC-2022")
    filings.file("B", "q1", {ACME: (10, 1)}, filed="03-JAN-2023")

    positions = positions_of(filings.write(tmp_path / "in"))

    assert dict(positions.select("fund_id", "value_usd").iter_rows()) == {"A": 10_000.0, "B": 10.0}


def test_a_filing_off_by_a_thousand_is_found_by_its_prices_and_corrected(
    tmp_path: Path, filings: Filings
) -> None:
    for fund in ("A", "B", "C"):
        filings.file(fund, "q1", {ACME: (100, 1), BOLT: (50, 1)})
    wrong = filings.file("D", "q1", {ACME: (200_000, 2), BOLT: (150_000, 3), COIL: (7_000, 1)})

    positions = positions_of(filings.write(tmp_path / "in"))

    corrected = positions.filter(pl.col("fund_id") == "D")
    assert corrected["value_usd"].to_list() == [200.0, 150.0, 7.0]
    listed = balance_of(tmp_path / "out")["filings_corrected"]
    assert listed == [
        {
            "accession": wrong,
            "fund_id": "D",
            "name": "D",
            "quarter": "2024-03-31",
            "factor": 0.001,
        }
    ]


def test_two_managers_alone_prove_nothing_about_units(tmp_path: Path, filings: Filings) -> None:
    filings.file("A", "q1", {ACME: (100, 1)})
    filings.file("B", "q1", {ACME: (100_000, 1)})

    positions_of(filings.write(tmp_path / "in"))

    reports = pl.read_parquet(tmp_path / "out" / "funds" / "filings.parquet")
    assert reports["corrected_factor"].to_list() == [1.0, 1.0]
    assert not reports["comparable"].any()


def test_a_stock_split_is_no_purchase(tmp_path: Path, filings: Filings) -> None:
    for fund in ("A", "B", "C"):
        filings.file(fund, "q1", {ACME: (1000, 10), BOLT: (100, 1)})
        filings.file(fund, "q2", {ACME: (1100, 100), BOLT: (300, 3)})

    positions = positions_of(filings.write(tmp_path / "in"))

    assert changes_of(positions) == {"001084": "held", "111111": "increased"}
    splits = balance_of(tmp_path / "out")["splits"]
    assert splits == [{"company_id": "001084", "quarter": "2024-06-30", "ratio": 10.0}]


def test_a_fund_is_its_cik_and_its_name_where_there_is_none(
    tmp_path: Path, filings: Filings
) -> None:
    filings.file("WITH", "q1", {ACME: (10, 1)}, cik="1036325")
    filings.file("WITH", "q2", {ACME: (10, 1)})
    filings.file("WITHOUT", "q1", {ACME: (10, 1)})

    report = import_sec13f(filings.write(tmp_path / "in"), tmp_path / "out")

    managers = pl.read_parquet(tmp_path / "out" / "funds" / "managers.parquet")
    assert managers["fund_id"].to_list() == ["0001036325", "WITHOUT"]
    assert managers["cik"].to_list() == ["0001036325", None]
    assert any("no CIK" in note for note in report.warnings)


def test_notices_are_no_reports(tmp_path: Path, filings: Filings) -> None:
    filings.file("A", "q1", {ACME: (10, 1)})
    filings.file("B", "q1", {}, kind="13F-NT")

    import_sec13f(filings.write(tmp_path / "in"), tmp_path / "out")

    assert balance_of(tmp_path / "out")["notices"] == 1


def test_companies_are_described_by_cusip_issuer_ticker_and_name(
    tmp_path: Path, filings: Filings
) -> None:
    accession = filings.file("A", "q1", {ACME: (10, 1), BOLT: (10, 1)})
    filings.line(accession, COIL, 10, 1, issuer="COIL HOLDINGS INC")
    source = filings.write(tmp_path / "in")
    by_cusip6, by_ticker, by_name = (tmp_path / f"{name}.csv" for name in ("six", "tick", "name"))
    by_cusip6.write_text("cusip6,ticker,sector\n1084,ACM,Tech\n")
    (tmp_path / "nine.csv").write_text(f"CUSIP,sector\n{BOLT},Energy\n")
    by_ticker.write_text("Ticker,Country\nACM,US\nXXX,FR\n")
    by_name.write_text('name,sector\n"Coil Holding, Inc.",Tech\n')

    import_sec13f(
        source,
        tmp_path / "out",
        company_tables=[by_ticker, by_name, by_cusip6, tmp_path / "nine.csv"],
    )

    items = pl.read_parquet(tmp_path / "out" / "items.parquet")
    assert items["sector"].to_list() == ["Tech", "Energy", "Tech"]
    assert items["country"].to_list() == ["US", None, None]
    assert items["name"].to_list() == ["SOME CORP", "SOME CORP", "Coil Holding, Inc."]
    assert balance_of(tmp_path / "out")["issuers_with_attributes"] == 3


def test_repeating_columns_become_categorical_modalities_with_missing_as_a_state(
    tmp_path: Path, filings: Filings
) -> None:
    cusips = [f"{number}{number}{number}{number}{number}{number}101" for number in range(1, 7)]
    filings.file("A", "q1", dict.fromkeys(cusips, (10, 1)))
    source = filings.write(tmp_path / "in")
    rows = [
        f"{c[:6]},{s},text {c}" for c, s in zip(cusips, ["x", "x", "y", "y", "", ""], strict=True)
    ]
    (source / "companies.csv").write_text("\n".join(["cusip6,sector,description", *rows]))

    import_sec13f(source, tmp_path / "out")
    ds = read_dataset(tmp_path / "out")
    inputs = build_inputs(ds, known_pairs(ds))

    assert set(ds.modalities) == {"sector"}
    assert inputs.categories["sector"].codes.tolist() == [0, 0, 1, 1, 2, 2]
    assert inputs.categories["sector"].num_categories == 3


def test_tables_carry_their_schema_version(tmp_path: Path, filings: Filings) -> None:
    filings.file("A", "q1", {ACME: (10, 1)})

    import_sec13f(filings.write(tmp_path / "in"), tmp_path / "out")

    for name in ("positions", "managers", "filings"):
        path = tmp_path / "out" / "funds" / f"{name}.parquet"
        assert pl.read_parquet_metadata(path)["schema_version"] == "1"


@pytest.mark.real_data
def test_the_real_filings_reconcile(tmp_path: Path, real_data: Path) -> None:
    if not (real_data / "sec13f").is_dir():
        pytest.skip("../shared/data has no sec13f")

    import_sec13f(real_data / "sec13f", tmp_path / "out")

    balance = balance_of(tmp_path / "out")
    counts = {key: value for key, value in balance.items() if isinstance(value, int)}
    assert counts["managers"] == 98
    assert (counts["issuers"], counts["issuers_with_attributes"]) == (3554, 3499)
    assert (counts["filings"], counts["positions"]) == (2178, 124_295)
    assert counts["filings_comparable"] == 2112
    corrected = balance["filings_corrected"]
    assert isinstance(corrected, list)
    assert len(corrected) == 93
    positions = pl.read_parquet(tmp_path / "out" / "funds" / "positions.parquet")
    apple = positions.filter((pl.col("company_id") == "037833") & (pl.col("shares") > 0))
    by_quarter = apple.group_by("quarter").agg((pl.col("value_usd") / pl.col("shares")).median())
    prices = dict(by_quarter.iter_rows())
    # Closing prices of the quarters' last days.
    assert prices[date(2022, 9, 30)] == pytest.approx(138.2, abs=0.1)
    assert prices[date(2022, 12, 31)] == pytest.approx(129.93, abs=0.1)
    assert prices[date(2023, 3, 31)] == pytest.approx(164.9, abs=0.1)

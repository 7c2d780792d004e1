import polars as pl
import pytest

from training.data.redundancy import merged_column, redundant_groups, shared_information

ITEMS = pl.DataFrame(
    {
        "sector": ["tech", "tech", "bank", "bank", None, None],
        "gics": ["IT", "IT", "Financials", "Financials", "IT", None],
        "country": ["US", "CN", "US", "CN", "US", "CN"],
    }
)


def test_columns_that_name_each_other_share_everything_and_independent_ones_nothing() -> None:
    assert shared_information(ITEMS["sector"], ITEMS["gics"]) == pytest.approx(1.0)
    assert shared_information(ITEMS["sector"], ITEMS["country"]) == pytest.approx(0.0)


def test_a_column_of_one_value_shares_nothing() -> None:
    assert shared_information(ITEMS["gics"], pl.Series(["x"] * 6)) == 0.0


def test_redundant_columns_are_grouped_and_the_others_stay_alone() -> None:
    columns = ["sector", "country", "gics"]

    assert redundant_groups(ITEMS, columns, 0.9) == [["sector", "gics"], ["country"]]


def test_a_group_takes_what_one_column_lacks_from_the_others() -> None:
    # gics tells most: it has five values. In the second table it lacks what sector knows.
    assert merged_column(ITEMS, ["sector", "gics"]).to_list() == ITEMS["gics"].to_list()
    swapped = ITEMS.with_columns(gics=pl.Series(["IT", "IT", "F", "G", None, None]))
    filled = swapped.with_columns(sector=pl.Series(["tech", "tech", "bank", "bank", "tech", None]))

    merged = merged_column(filled, ["sector", "gics"])

    assert merged.to_list() == ["IT", "IT", "F", "G", "IT", None]
    assert merged.name == "sector-gics"

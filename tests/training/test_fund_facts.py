from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fund_world import facts_of_world, make_world, write_world

from service.funds.facts import ARRAYS
from training.data.dataset import read_dataset
from training.errors import DataError
from training.fund_facts import read_fund_facts

WORLD = make_world()


def test_facts_are_read_from_the_folder_beside_the_dataset(tmp_path: Path) -> None:
    folder = write_world(WORLD, tmp_path / "funds")
    facts, expected = read_fund_facts(folder, read_dataset(folder)), facts_of_world(WORLD)
    different = [n for n in ARRAYS if not np.array_equal(getattr(facts, n), getattr(expected, n))]
    assert different == []
    assert (facts.names, facts.ciks) == (expected.names, expected.ciks)
    assert facts.columns == expected.columns


def test_a_dataset_of_anything_else_has_no_facts(demo_folder, demo_dataset) -> None:
    assert read_fund_facts(demo_folder, demo_dataset) is None


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("company_id", "nobody", "company_id 'nobody'"),
        ("change", "swapped", "change 'swapped'"),
    ],
)
def test_positions_that_do_not_fit_the_dataset_are_refused(tmp_path, column, value, message):
    folder = write_world(WORLD, tmp_path / "funds")
    path = folder / "funds" / "positions.parquet"
    wrong = pl.read_parquet(path).with_columns(pl.lit(value).alias(column))
    wrong.write_parquet(path)
    with pytest.raises(DataError, match=message):
        read_fund_facts(folder, read_dataset(folder))

import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from fund_world import facts_of_world, make_world, milliseconds, write_world

from service.events import digest_of
from service.funds.facts import ARRAYS
from training.data.dataset import read_dataset
from training.data.forgetting import ERASED_KEY
from training.data.merge import merge_events
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


def merged_with(folder: Path, erased: dict[str, dict[str, int]], target: Path) -> Path:
    """The dataset merged with a log that has no events and tells of these erasures."""
    schema = pa.schema({name: pa.string() for name in ("user_id", "item_id", "type", "event_id")})
    schema = schema.append(pa.field("value", pa.float32())).append(
        pa.field("timestamp", pa.int64())
    )
    log = schema.empty_table().replace_schema_metadata({ERASED_KEY: json.dumps(erased)})
    merge_events(folder, log, target)
    return target


def test_positions_follow_a_merged_dataset_whatever_is_imported_meanwhile(tmp_path: Path) -> None:
    folder = write_world(WORLD, tmp_path / "funds")
    merged = merged_with(folder, {}, tmp_path / "merged")
    write_world(make_world(num_companies=90, seed=1), folder)
    facts = read_fund_facts(merged, read_dataset(merged))
    expected = facts_of_world(WORLD)
    assert [n for n in ARRAYS if not np.array_equal(getattr(facts, n), getattr(expected, n))] == []
    assert facts.names == expected.names


def test_an_erased_fund_or_company_has_no_position_in_what_is_published(tmp_path: Path) -> None:
    folder = write_world(WORLD, tmp_path / "funds")
    now_ms = milliseconds(date(2026, 1, 1))
    erased = {"user": {digest_of("f02"): now_ms}, "item": {digest_of("c007"): now_ms}}
    merged = merged_with(folder, erased, tmp_path / "merged")
    dataset = read_dataset(merged)
    facts = read_fund_facts(merged, dataset)
    assert "f02" not in dataset.users.ids_tuple
    assert "c007" not in dataset.items.ids_tuple
    left = WORLD.positions.filter(pl.col("fund_id") != "f02", pl.col("company_id") != "c007")
    assert len(facts.fund_rows) == len(left)
    assert len(facts.names) == len(WORLD.managers) - 1

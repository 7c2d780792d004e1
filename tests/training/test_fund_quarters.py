from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fund_world import DATASET_TOML, QUARTERS, make_world, write_world

from service.artifact import load_artifact
from training.config import RunConfig
from training.data.dataset import read_dataset
from training.errors import DataError
from training.fund_quarters import cut_dataset, learn_until

WORLD = make_world()
LAST = QUARTERS[2]
MEMBERS = [RunConfig(model="itemcf", params={"rank": 8})]


@contextmanager
def quietly(*_: object):
    yield lambda _: None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_world(WORLD, tmp_path / "funds")


def learned(folder: Path, workspace: Path, members=MEMBERS, last: date = LAST):
    return learn_until(folder, last, members, workspace, progress=quietly)


def test_a_cut_dataset_has_the_positions_of_its_quarters_and_events_of_nothing_else(
    folder: Path, tmp_path: Path
) -> None:
    cut_dataset(folder, LAST, tmp_path / "cut")
    kept = WORLD.positions.filter(pl.col("quarter") <= LAST)
    positions = pl.read_parquet(tmp_path / "cut" / "funds" / "positions.parquet")
    assert positions.equals(kept.select(positions.columns))
    events = pl.read_parquet(tmp_path / "cut" / "interactions.parquet")
    assert len(events) == len(kept)
    assert events["timestamp"].max() == (max(kept["filed"]) - date(1970, 1, 1)).days * 86_400_000


def test_companies_and_funds_that_nobody_had_reported_yet_are_unknown(tmp_path: Path) -> None:
    first = WORLD.positions.filter(
        (pl.col("company_id") != "c007") | (pl.col("quarter") > LAST),
        (pl.col("fund_id") != "f03") | (pl.col("quarter") > LAST),
    )
    folder = write_world(replace(WORLD, positions=first), tmp_path / "funds")
    cut_dataset(folder, LAST, tmp_path / "cut")
    dataset = read_dataset(tmp_path / "cut")
    assert "c007" not in dataset.items.ids_tuple
    assert "f03" not in dataset.users.ids_tuple
    assert len(dataset.users.ids_tuple) == len(WORLD.managers) - 1


def test_vectors_stay_with_their_companies(tmp_path: Path) -> None:
    folder = write_world(WORLD.before(QUARTERS[1]), tmp_path / "funds")
    (folder / "dataset.toml").write_text(
        DATASET_TOML + '\n[modalities.text]\nkind = "dense"\nsource = "features/text.npy"\n'
    )
    (folder / "features").mkdir()
    numbers = np.arange(len(WORLD.companies), dtype=np.float32)
    np.save(folder / "features" / "text.npy", np.stack([numbers + 1, numbers], axis=1))
    cut_dataset(folder, QUARTERS[0], tmp_path / "cut")
    dataset = read_dataset(tmp_path / "cut")
    # Company c012 is row 12 of the world: its vector is (13, 12).
    expected = [int(company[1:]) for company in dataset.items.ids_tuple]
    assert len(expected) < len(WORLD.companies)
    assert dataset.features["text"][:, 1].tolist() == expected


def test_a_quarter_before_all_reports_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no position of 2019Q4 or before"):
        cut_dataset(folder, date(2019, 12, 31), tmp_path / "cut")
    assert not (tmp_path / "cut").exists()


def test_what_came_after_the_quarter_changes_nothing_in_the_version(
    folder: Path, tmp_path: Path
) -> None:
    """The catalogue and the vectors are those of a world that ended with the quarter."""
    ended = write_world(WORLD.before(QUARTERS[3]), tmp_path / "ended")
    versions = [learned(one, tmp_path / one.name / "versions") for one in (folder, ended)]
    whole, short = (load_artifact(one.artifacts, "funds", one.version) for one in versions)
    assert whole.item_ids == short.item_ids
    assert np.array_equal(whole.users, short.users)
    assert np.array_equal(whole.items, short.items)
    assert np.array_equal(whole.funds.quarters, short.funds.quarters)


def test_a_version_is_used_again_until_data_or_settings_change(
    folder: Path, tmp_path: Path
) -> None:
    first = learned(folder, tmp_path / "versions")
    assert learned(folder, tmp_path / "versions") == first
    other = learned(folder, tmp_path / "versions", [replace(MEMBERS[0], params={"rank": 4})])
    assert other.artifacts != first.artifacts
    write_world(make_world(seed=1), folder)
    assert learned(folder, tmp_path / "versions").artifacts not in (
        first.artifacts,
        other.artifacts,
    )

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from training.data.dataset import DatasetDraft, read_dataset, write_dataset
from training.data.merge import MergeReport, merge_events
from training.errors import SchemaError

NOW_S = 1_790_000_000.0
TIME_MS = 1_785_000_000_000
Row = tuple[str | None, str | None, str | None, float | None, int | None, str]


def _table(*rows: Row) -> pa.Table:
    names = ["user_id", "item_id", "type", "value", "timestamp", "event_id"]
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


@pytest.fixture
def base(draft: DatasetDraft, tmp_path: Path) -> Path:
    events = draft.interactions.with_columns(split=pl.Series([0, 1, 0, 0, 0], dtype=pl.Int8))
    write_dataset(tmp_path / "base", replace(draft, interactions=events))
    return tmp_path / "base"


def _merge(base: Path, *rows: Row) -> MergeReport:
    return merge_events(base, _table(*rows), base.parent / "merged", clock=lambda: NOW_S)


def test_events_follow_the_base(base: Path) -> None:
    report = _merge(base, ("ann", "vase", "view", 2.0, TIME_MS, "e1"))

    ds = read_dataset(base.parent / "merged")
    assert (report.read, report.added, report.repeated, report.rejected) == (1, 1, 0, 0)
    assert len(ds.interactions) == 6
    assert ds.users.ids(ds.interactions.user_rows[-1:]) == ["ann"]
    assert ds.items.ids(ds.interactions.item_rows[-1:]) == ["vase"]
    assert ds.interactions.values[-1] == 2.0


def test_known_items_keep_their_rows_and_new_ones_follow_without_features(base: Path) -> None:
    report = _merge(
        base,
        ("ann", "zebra", "view", None, TIME_MS, "e1"),
        ("ann", "apple", "view", None, TIME_MS, "e2"),
    )

    before, ds = read_dataset(base), read_dataset(base.parent / "merged")
    assert ds.items.ids_tuple == (*before.items.ids_tuple, "apple", "zebra")
    np.testing.assert_array_equal(ds.features["image"][:4], before.features["image"])
    assert np.isnan(ds.features["image"][4:]).all()
    assert ds.metadata["price"].to_list() == [10.0, 20.0, 30.0, 40.0, None, None]
    assert ds.codes["category"][4:].tolist() == [-1, -1]
    assert report.new_items == 2


def test_a_new_item_is_its_only_neighbour_at_similarity_zero(base: Path) -> None:
    _merge(base, ("ann", "apple", "view", None, TIME_MS, "e1"))

    neighbours = read_dataset(base.parent / "merged").neighbours["image"]
    assert neighbours.indices[4].tolist() == [4]
    assert neighbours.similarities[4].tolist() == [0.0]


def test_known_users_keep_their_rows(base: Path) -> None:
    # "aaa" sorts before the known users, yet comes after them.
    report = _merge(base, ("aaa", "lamp", "view", None, TIME_MS, "e1"))

    assert read_dataset(base.parent / "merged").users.ids_tuple == ("ann", "bob", "cid", "aaa")
    assert report.new_users == 1


def test_official_labels_are_dropped(base: Path) -> None:
    _merge(base, ("ann", "vase", "view", None, TIME_MS, "e1"))

    assert read_dataset(base).interactions.labels is not None
    assert read_dataset(base.parent / "merged").interactions.labels is None


def test_an_event_id_counts_once(base: Path) -> None:
    report = _merge(
        base,
        ("ann", "vase", "view", None, TIME_MS, "e1"),
        ("ann", "vase", "view", None, TIME_MS + 1, "e1"),
    )

    assert (report.added, report.repeated) == (1, 1)


def test_merging_the_same_events_again_changes_nothing(base: Path) -> None:
    rows: tuple[Row, ...] = (
        ("ann", "apple", "view", None, TIME_MS, "e1"),
        ("dan", "lamp", "dislike", 0.1, TIME_MS, "e2"),
    )
    _merge(base, *rows)
    merged = base.parent / "merged"
    before = read_dataset(merged).fingerprint

    report = merge_events(merged, _table(*rows), merged, clock=lambda: NOW_S)

    assert (report.added, report.repeated) == (0, 2)
    assert read_dataset(merged).fingerprint == before


def test_the_base_stays_as_it_was(base: Path) -> None:
    before = read_dataset(base).fingerprint

    _merge(base, ("dan", "apple", "view", None, TIME_MS, "e1"))

    assert read_dataset(base).fingerprint == before


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("ann", "lamp", "wave", None, TIME_MS, "e"), "event type is unknown"),
        (
            ("ann", "lamp", "click", None, TIME_MS, "e"),
            "says what became of a recommendation, nothing more",
        ),
        (("ann", "lamp", None, None, TIME_MS, "e"), "event type is unknown"),
        (("", "lamp", "view", None, TIME_MS, "e"), "user_id is empty or too long"),
        (("ann", "i" * 257, "view", None, TIME_MS, "e"), "item_id is empty or too long"),
        (("ann", "lamp", "view", float("nan"), TIME_MS, "e"), "value is not finite"),
        (
            ("ann", "lamp", "view", None, 1_785_000_000, "e"),
            "timestamp is missing, before 1973 or in the future",
        ),
        (
            ("ann", "lamp", "view", None, None, "e"),
            "timestamp is missing, before 1973 or in the future",
        ),
    ],
)
def test_unusable_events_are_reported_with_their_reason(base: Path, row: Row, reason: str) -> None:
    report = _merge(base, row, ("ann", "vase", "view", None, TIME_MS, "good"))

    assert report.rejects.rows() == [("e", reason)]
    assert (report.read, report.added, report.rejected) == (2, 1, 1)


def test_events_without_a_column_are_refused(base: Path) -> None:
    with pytest.raises(SchemaError, match="events lack the columns type, value"):
        merge_events(base, pa.table({"user_id": ["a"], "item_id": ["b"]}), base)


def test_times_of_the_base_may_be_unknown(base: Path, draft: DatasetDraft) -> None:
    events = draft.interactions.with_columns(timestamp=pl.lit(None, pl.Int64))
    write_dataset(base, replace(draft, interactions=events))

    _merge(base, ("ann", "vase", "view", None, TIME_MS, "e1"))

    times = read_dataset(base.parent / "merged").interactions.timestamps
    assert times is not None
    assert times.tolist() == [0, 0, 0, 0, 0, TIME_MS]

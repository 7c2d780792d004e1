import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training.data.dataset import Dataset, DatasetDraft, EventType, read_dataset, write_dataset
from training.data.splits import (
    SPLITS,
    Pairs,
    SealedTest,
    cold_items,
    global_time,
    known_pairs,
    leave_last_out,
    make_split,
    official,
    positive_pairs,
    random_per_user,
)
from training.errors import DataError, SplitLeakage

START_MS = 1_700_000_000_000


def _dataset(
    folder: Path, users: list[int], items: list[int], times: list[int] | None, *labels: int
) -> Dataset:
    """Events of type ``buy``; ids sort like numbers, so rows equal the numbers given."""
    events = pl.DataFrame(
        {
            "user_id": [f"{user:03d}" for user in users],
            "item_id": [f"{item:03d}" for item in items],
            "timestamp": pl.Series(
                [None] * len(users) if times is None else [START_MS + time for time in times],
                dtype=pl.Int64,
            ),
            "type": ["buy"] * len(users),
            "value": [1.0] * len(users),
        }
    )
    if labels:
        events = events.with_columns(split=pl.Series(labels, dtype=pl.Int8))
    draft = DatasetDraft(
        name="tiny",
        event_types={"buy": EventType()},
        modalities={},
        interactions=events,
        items=pl.DataFrame({"item_id": [f"{item:03d}" for item in range(max(items) + 1)]}),
    )
    write_dataset(folder, draft)
    return read_dataset(folder)


def _as_set(pairs: Pairs) -> set[tuple[int, int]]:
    return set(zip(pairs.user_rows.tolist(), pairs.item_rows.tolist(), strict=True))


@pytest.fixture
def grid(tmp_path: Path) -> Dataset:
    """20 users x 10 items, all pairs, times rising with user and item."""
    users = np.repeat(np.arange(20), 10).tolist()
    return _dataset(tmp_path / "grid", users, list(range(10)) * 20, list(range(200)))


def test_pairs_are_sorted_and_unique() -> None:
    pairs = Pairs.of(np.array([1, 0, 1, 1]), np.array([2, 5, 0, 2]))

    assert pairs.user_rows.tolist() == [0, 1, 1]
    assert pairs.item_rows.tolist() == [5, 0, 2]


def test_pairs_refuse_the_wrong_order() -> None:
    with pytest.raises(DataError, match="unique and sorted"):
        Pairs(np.array([1, 0]), np.array([0, 0]))


def test_csr_has_an_empty_row_for_a_user_without_pairs() -> None:
    indptr, indices = Pairs.of(np.array([0, 2, 2]), np.array([5, 1, 4])).to_csr(4)

    assert indptr.tolist() == [0, 1, 1, 3, 3]
    assert indices.tolist() == [5, 1, 4]


def test_csr_refuses_too_few_users() -> None:
    with pytest.raises(DataError, match="user row 2 is not below num_users 2"):
        Pairs.of(np.array([2]), np.array([0])).to_csr(2)


def test_repeated_events_are_one_pair_at_the_first_time(tmp_path: Path) -> None:
    ds = _dataset(tmp_path / "d", [0, 0, 0], [1, 1, 0], [50, 20, 30])

    pairs = positive_pairs(ds)

    assert pairs.item_rows.tolist() == [0, 1]
    assert pairs.timestamps is not None
    assert (pairs.timestamps - START_MS).tolist() == [30, 20]


def test_negative_events_make_no_pairs(draft: DatasetDraft, tmp_path: Path) -> None:
    write_dataset(tmp_path / "shop", draft)

    known = known_pairs(read_dataset(tmp_path / "shop"))

    # bob (1) dislikes the sofa (1).
    assert _as_set(known) == {(0, 0), (0, 1), (1, 0), (2, 2)}


def test_only_negative_events_are_refused(draft: DatasetDraft, tmp_path: Path) -> None:
    events = draft.interactions.with_columns(type=pl.lit("dislike"))
    write_dataset(tmp_path / "shop", replace(draft, interactions=events))

    with pytest.raises(DataError, match="no events of positive sign"):
        known_pairs(read_dataset(tmp_path / "shop"))


def test_official_follows_the_labels(tmp_path: Path) -> None:
    ds = _dataset(tmp_path / "d", [0, 0, 0, 1], [0, 1, 2, 0], None, 0, 1, 2, 0)

    split = official(ds)

    assert _as_set(split.train) == {(0, 0), (1, 0)}
    assert _as_set(split.validation) == {(0, 1)}
    assert _as_set(split.test.open(tmp_path / "record.json")) == {(0, 2)}


def test_official_without_labels_lists_the_other_splits(grid: Dataset) -> None:
    with pytest.raises(DataError, match="no official labels; choose one of random_per_user"):
        official(grid)


def test_random_per_user_gives_every_user_eight_one_one(grid: Dataset) -> None:
    split = random_per_user(grid, np.random.default_rng(0))

    assert np.bincount(split.train.user_rows).tolist() == [8] * 20
    assert np.bincount(split.validation.user_rows).tolist() == [1] * 20
    assert len(split.test) == 20


@pytest.mark.parametrize(
    ("num_pairs", "expected"),
    [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (5, (3, 1, 1)), (20, (16, 2, 2))],
)
def test_random_per_user_keeps_a_training_pair(
    tmp_path: Path, num_pairs: int, expected: tuple[int, int, int]
) -> None:
    ds = _dataset(tmp_path / "d", [0] * num_pairs, list(range(num_pairs)), None)

    split = random_per_user(ds, np.random.default_rng(1))

    assert (len(split.train), len(split.validation), len(split.test)) == expected


def test_random_per_user_refuses_ratios_that_do_not_add_up(grid: Dataset) -> None:
    with pytest.raises(DataError, match="add up to 1"):
        random_per_user(grid, np.random.default_rng(0), (0.8, 0.1, 0.2))


def test_global_time_never_trains_on_the_future(tmp_path: Path) -> None:
    ds = _dataset(tmp_path / "d", [0, 1, 2, 3, 4] * 2, [0] * 5 + [1] * 5, list(range(9, -1, -1)))

    split = global_time(ds)

    # Times fall from 9 to 0, so the newest is user 0's item 0, then user 1's item 0.
    assert _as_set(split.test.open(tmp_path / "r.json")) == {(0, 0)}
    assert _as_set(split.validation) == {(1, 0)}
    assert len(split.train) == 8


def test_global_time_keeps_one_moment_together(tmp_path: Path) -> None:
    ds = _dataset(tmp_path / "d", [0] * 10, list(range(10)), [0] * 7 + [5, 5, 5])

    split = global_time(ds)

    # Both cuts fall on moment 5, so all three of its pairs test.
    assert (len(split.train), len(split.validation), len(split.test)) == (7, 0, 3)


def test_global_time_of_one_moment_leaves_nothing_to_train_on(tmp_path: Path) -> None:
    ds = _dataset(tmp_path / "d", [0] * 10, list(range(10)), [5] * 10)

    with pytest.raises(DataError, match="leaves no training pairs of 10"):
        global_time(ds)


@pytest.mark.parametrize("name", ["global_time", "leave_last_out"])
def test_splits_by_time_need_times(tmp_path: Path, name: str) -> None:
    ds = _dataset(tmp_path / "d", [0, 0], [0, 1], None)

    with pytest.raises(DataError, match="has no timestamps"):
        make_split(ds, name, 0)


def test_leave_last_out_tests_the_newest_and_validates_the_second(tmp_path: Path) -> None:
    ds = _dataset(tmp_path / "d", [0, 0, 0, 1, 1], [0, 1, 2, 0, 1], [30, 10, 20, 1, 2])

    split = leave_last_out(ds)

    # User 1 has two pairs only, so both train.
    assert _as_set(split.test.open(tmp_path / "r.json")) == {(0, 0)}
    assert _as_set(split.validation) == {(0, 2)}
    assert _as_set(split.train) == {(0, 1), (1, 0), (1, 1)}


def test_leave_last_out_without_test_validates_the_newest(tmp_path: Path) -> None:
    ds = _dataset(tmp_path / "d", [0, 0, 0], [0, 1, 2], [30, 10, 20])

    split = leave_last_out(ds, with_test=False)

    assert _as_set(split.validation) == {(0, 0)}
    assert _as_set(split.train) == {(0, 1), (0, 2)}
    assert len(split.test) == 0


def test_leave_last_out_does_not_hold_out_the_same_items_when_times_are_equal(
    tmp_path: Path,
) -> None:
    users = np.repeat(np.arange(60), 6).tolist()
    ds = _dataset(tmp_path / "d", users, list(range(6)) * 60, [5] * 360)

    held_out = leave_last_out(ds, with_test=False).validation.item_rows

    # Every item is held out for about 10 of the 60 users, none for all of them.
    assert np.bincount(held_out, minlength=6).min() >= 3
    assert np.bincount(held_out).max() <= 20


def test_cold_items_are_unseen_in_training(grid: Dataset, tmp_path: Path) -> None:
    split = cold_items(grid, np.random.default_rng(0))
    test = split.test.open(tmp_path / "r.json")

    parts = [np.unique(p.item_rows) for p in (split.train, split.validation, test)]

    # 20 % of 10 items are 2: one validates, one tests.
    assert [len(part) for part in parts] == [8, 1, 1]
    assert len(np.unique(np.concatenate(parts))) == 10


def test_cold_items_refuses_a_share_of_one(grid: Dataset) -> None:
    with pytest.raises(DataError, match="share of cold items is 1"):
        cold_items(grid, np.random.default_rng(0), share=1)


@pytest.mark.parametrize("name", [name for name in SPLITS if name != "official"])
def test_every_split_uses_each_pair_once(grid: Dataset, tmp_path: Path, name: str) -> None:
    split = make_split(grid, name, 3)
    parts = [split.train, split.validation, split.test.open(tmp_path / "r.json")]

    assert sum(len(part) for part in parts) == 200
    assert set.union(*(_as_set(part) for part in parts)) == _as_set(known_pairs(grid))


@pytest.mark.parametrize("name", ["random_per_user", "cold_items"])
def test_a_seed_decides_a_random_split(grid: Dataset, name: str) -> None:
    first, again, other = (make_split(grid, name, seed) for seed in (1, 1, 4))

    assert _as_set(first.validation) == _as_set(again.validation)
    assert _as_set(first.validation) != _as_set(other.validation)


def test_split_names_may_use_hyphens(grid: Dataset) -> None:
    assert make_split(grid, "random-per-user", 0).name == "random_per_user"


def test_unknown_split_lists_the_choices(grid: Dataset) -> None:
    with pytest.raises(DataError, match="unknown split 'x'; choose one of official, random_per"):
        make_split(grid, "x", 0)


def test_opening_the_test_split_is_recorded(tmp_path: Path) -> None:
    sealed = SealedTest(Pairs.of(np.array([0, 0, 3]), np.array([1, 2, 1])), "official")

    sealed.open(tmp_path / "runs/test.json", clock=lambda: 0.0)

    assert json.loads((tmp_path / "runs/test.json").read_text()) == {
        "opened_at": "1970-01-01T00:00:00+00:00",
        "split": "official",
        "users": 2,
        "pairs": 3,
    }


def test_the_test_split_cannot_be_opened_twice(tmp_path: Path) -> None:
    sealed = SealedTest(Pairs.of(np.array([0]), np.array([1])), "official")
    sealed.open(tmp_path / "test.json")

    with pytest.raises(SplitLeakage, match="the test split was opened before"):
        sealed.open(tmp_path / "test.json")


def test_a_sealed_test_shows_its_size_only() -> None:
    sealed = SealedTest(Pairs.of(np.array([0]), np.array([1])), "official")

    assert repr(sealed) == "SealedTest(1 pairs of split 'official')"
    assert not hasattr(sealed, "pairs")

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from training.data.dataset import DatasetDraft, EventType, ModalitySpec, Neighbours
from training.data.validation import check_draft
from training.errors import DataError, FeatureMismatch, SchemaError

NOW_MS = 1_790_000_000_000
Change = Callable[[DatasetDraft], DatasetDraft]


def _set(column: str, row: int, value: object) -> Change:
    def change(draft: DatasetDraft) -> DatasetDraft:
        events = draft.interactions
        values = events[column].to_list()
        values[row] = value
        changed = pl.Series(column, values, dtype=events[column].dtype)
        return replace(draft, interactions=events.with_columns(changed))

    return change


def _events(*columns: pl.Expr | pl.Series) -> Change:
    return lambda d: replace(d, interactions=d.interactions.with_columns(*columns))


def _labels(*labels: int | None) -> Change:
    return _events(pl.Series("split", labels, dtype=pl.Int8))


def _image(row: int, column: int, value: float) -> Change:
    def change(draft: DatasetDraft) -> DatasetDraft:
        matrix = draft.features["image"].copy()
        matrix[row, column] = value
        return replace(draft, features={"image": matrix})

    return change


def _with_neighbours(indices: list[list[int]], similarities: list[list[float]]) -> Change:
    found = Neighbours(np.array(indices, np.int64), np.array(similarities, np.float32))
    return lambda d: replace(d, neighbours={"image": found})


@pytest.fixture
def named(draft: DatasetDraft) -> DatasetDraft:
    image = ModalitySpec("dense", "features/image.npy", "features/image.neighbours.npz")
    return replace(draft, modalities={**draft.modalities, "image": image})


def _labelled_twice(second: int) -> Change:
    def change(draft: DatasetDraft) -> DatasetDraft:
        events = draft.interactions.with_columns(split=pl.lit(0, pl.Int8))
        again = events.head(1).with_columns(split=pl.lit(second, pl.Int8))
        return replace(draft, interactions=pl.concat([events, again]))

    return change


def test_a_sound_draft_passes_and_reports_missing_features(named: DatasetDraft) -> None:
    assert check_draft(named, "shop", now_ms=NOW_MS) == ["1 of 4 items have no image features"]


def test_a_repeated_event_is_allowed_without_official_labels(named: DatasetDraft) -> None:
    events = pl.concat([named.interactions, named.interactions.head(1)])

    check_draft(replace(named, interactions=events), "shop", now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("item_id", 2, "ghost"), "row 3: item_id 'ghost' is not in items.parquet"),
        (_set("user_id", 1, ""), "row 2: user_id '' has 0 bytes"),
        (_set("user_id", 1, None), "row 2: user_id None has 0 bytes"),
        (_set("user_id", 0, "ü" * 129), "has 258 bytes; ids are text of 1 to 256 bytes"),
        (_set("type", 3, "vieww"), "row 4: event type 'vieww' is not one of view, dislike"),
        (_set("type", 3, None), "row 4: event type None"),
        (_set("timestamp", 4, -5), "row 5: timestamp -5 is negative"),
        (_set("timestamp", 4, 1_780_000_000), "row 5: timestamp 1780000000 looks like seconds"),
        (_set("timestamp", 0, NOW_MS + 90_000_000), "row 1: timestamp .* lies in the future"),
        (_set("value", 1, float("nan")), "row 2: value nan is not finite"),
        (_set("value", 1, float("inf")), "row 2: value inf is not finite"),
        (
            _events(pl.col("timestamp").cast(pl.Float64)),
            "column timestamp is Float64, expected Int",
        ),
        (_events(pl.Series("user_id", range(5))), "column user_id is Int64, expected String"),
        (_events(pl.lit("x").alias("value")), "column value is String, expected Float32"),
        (_events(pl.lit(1).alias("rating")), r"unknown columns \['rating'\]"),
        (
            lambda d: replace(d, interactions=d.interactions.drop("type")),
            r"missing columns \['type",
        ),
        (lambda d: replace(d, interactions=d.interactions.clear()), "no interactions"),
        (_labels(0, 1, None, 0, 0), "row 3: split is None; write 0"),
        (_labels(0, 1, 3, 0, 0), "row 3: split is 3"),
        (lambda d: replace(d, items=pl.concat([d.items, d.items])), "row 1: item_id 'lamp' occurs"),
        (lambda d: replace(d, items=d.items.drop("item_id")), "column item_id is missing"),
        (lambda d: replace(d, items=d.items.drop("category")), "takes column 'category'"),
        (
            lambda d: replace(d, users=pl.DataFrame({"user_id": ["ann", "cid"]})),
            "row 3: user_id 'bob' is not in users.parquet",
        ),
        (
            lambda d: replace(d, users=pl.DataFrame({"user_id": ["ann", "ann"]})),
            "users.parquet: row 1: user_id 'ann' occurs more than once",
        ),
        (lambda d: replace(d, event_types={"view": EventType(-1)}), "weight is -1"),
        (
            lambda d: replace(d, features={**d.features, "audio": d.features["image"]}),
            "belong to no dense, text or image modality",
        ),
    ],
)
def test_schema_violation_names_file_row_and_fix(
    named: DatasetDraft, change: Change, message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        check_draft(change(named), "shop", now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_image(1, 0, np.nan), "row 2, column 1 is nan as float32; 1 rows are affected"),
        (_image(3, 1, np.inf), "row 4, column 2 is inf"),
        (
            lambda d: replace(d, features={"image": d.features["image"][:3]}),
            "has 3 rows but items.parquet has 4 items",
        ),
        (lambda d: replace(d, features={"image": np.ones((4, 2), int)}), "dtype int64; save a fl"),
        (lambda d: replace(d, features={"image": np.ones(4, np.float32)}), r"has shape \(4,\)"),
        (lambda d: replace(d, features={}), "dense modality 'image' has no features"),
        (lambda d: replace(d, neighbours={}), "there are no such neighbours"),
        (_with_neighbours([[0]] * 4, [[1.0, 1.0]] * 4), "must both be"),
        (_with_neighbours([[0]] * 3, [[1.0]] * 3), "has 3 rows but items.parquet has 4"),
        (_with_neighbours([[4]] * 4, [[1.0]] * 4), r"indices span 4\.\.4, items are 0\.\.3"),
        (_with_neighbours([[0]] * 4, [[np.nan]] * 4), "similarities hold NaN"),
        (
            lambda d: replace(d, neighbours={**d.neighbours, "audio": d.neighbours["image"]}),
            "neighbours of 'audio' are named by no modality",
        ),
    ],
)
def test_feature_mismatch_names_file_place_and_fix(
    named: DatasetDraft, change: Change, message: str
) -> None:
    with pytest.raises(FeatureMismatch, match=message):
        check_draft(change(named), "shop", now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_labelled_twice(0), r"row 1 \(user_id 'ann', item_id 'lamp'\) is an exact duplicate"),
        (_labelled_twice(2), r"row 1 \(user_id 'ann', item_id 'lamp'\) has another split label"),
    ],
)
def test_contradicting_official_labels_are_refused(
    named: DatasetDraft, change: Change, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        check_draft(change(named), "shop", now_ms=NOW_MS)


def test_a_timestamp_up_to_a_day_ahead_is_tolerated(named: DatasetDraft) -> None:
    ahead = _set("timestamp", 0, NOW_MS + 80_000_000)(named)

    check_draft(ahead, "shop", now_ms=NOW_MS)

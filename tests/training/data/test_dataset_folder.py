from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from training.data.dataset import DatasetDraft, ModalitySpec, read_dataset, write_dataset
from training.errors import DataError, FeatureMismatch, SchemaError


def test_what_is_written_is_read_back(draft: DatasetDraft, tmp_path: Path) -> None:
    write_dataset(tmp_path / "shop", draft)

    ds = read_dataset(tmp_path / "shop")

    assert (ds.name, ds.event_types) == ("shop", draft.event_types)
    assert ds.users.ids_tuple == ("ann", "bob", "cid")
    assert ds.interactions.user_rows.tolist() == [0, 0, 1, 1, 2]
    assert ds.interactions.item_rows.tolist() == [0, 1, 0, 1, 2]
    assert ds.interactions.types.tolist() == ["view", "view", "view", "dislike", "view"]
    assert ds.interactions.values.tolist() == [1.0, 2.0, 1.0, 1.0, 1.0]
    assert ds.interactions.labels is None
    np.testing.assert_array_equal(ds.features["image"], draft.features["image"])
    assert ds.neighbours["image"].indices.tolist() == [[0], [1], [2], [0]]
    assert_frame_equal(ds.metadata, draft.items)


def test_categories_are_coded_in_sorted_order_and_missing_is_minus_one(
    draft: DatasetDraft, tmp_path: Path
) -> None:
    write_dataset(tmp_path / "shop", draft)

    ds = read_dataset(tmp_path / "shop")

    assert ds.categories["category"] == ("art", "light", "seat")
    assert ds.codes["category"].tolist() == [1, 2, -1, 0]


def test_item_id_comes_first_in_the_metadata(draft: DatasetDraft, tmp_path: Path) -> None:
    shuffled = draft.items.select("price", "category", "item_id")
    write_dataset(tmp_path / "shop", replace(draft, items=shuffled))

    assert read_dataset(tmp_path / "shop").metadata.columns == ["item_id", "price", "category"]


def test_users_without_interactions_keep_their_row(draft: DatasetDraft, tmp_path: Path) -> None:
    users = pl.DataFrame({"user_id": ["zoe", "cid", "bob", "ann"]})
    write_dataset(tmp_path / "shop", replace(draft, users=users))

    ds = read_dataset(tmp_path / "shop")

    assert ds.num_users == 4
    assert ds.interactions.user_rows.tolist() == [3, 3, 2, 2, 1]


def test_no_times_at_all_are_none(draft: DatasetDraft, tmp_path: Path) -> None:
    events = draft.interactions.with_columns(timestamp=pl.lit(None, pl.Int64))
    write_dataset(tmp_path / "shop", replace(draft, interactions=events))

    assert read_dataset(tmp_path / "shop").interactions.timestamps is None


def test_an_unknown_time_among_known_ones_is_zero(draft: DatasetDraft, tmp_path: Path) -> None:
    events = draft.interactions.with_columns(
        timestamp=pl.when(pl.col("user_id") == "cid").then(None).otherwise(pl.col("timestamp"))
    )
    write_dataset(tmp_path / "shop", replace(draft, interactions=events))

    times = read_dataset(tmp_path / "shop").interactions.timestamps

    assert times is not None
    assert times[-1] == 0


def test_float16_features_become_float32(draft: DatasetDraft, tmp_path: Path) -> None:
    write_dataset(tmp_path / "shop", draft)
    path = tmp_path / "shop/features/image.npy"
    np.save(path, np.load(path).astype(np.float16))

    assert read_dataset(tmp_path / "shop").features["image"].dtype == np.float32


def test_fingerprint_ignores_how_files_are_compressed(draft: DatasetDraft, tmp_path: Path) -> None:
    write_dataset(tmp_path / "shop", draft)
    before = read_dataset(tmp_path / "shop").fingerprint
    path = tmp_path / "shop/interactions.parquet"
    pl.read_parquet(path).write_parquet(path, compression="uncompressed", row_group_size=2)

    assert read_dataset(tmp_path / "shop").fingerprint == before


@pytest.mark.parametrize(
    "change",
    [
        lambda d: replace(d, name="other"),
        lambda d: replace(d, interactions=d.interactions.head(4)),
        lambda d: replace(d, items=d.items.with_columns(price=pl.col("price") + 1)),
        lambda d: replace(d, features={"image": d.features["image"] * 2}),
        lambda d: replace(d, neighbours={}),
    ],
)
def test_fingerprint_changes_with_the_content(
    draft: DatasetDraft, change: Callable[[DatasetDraft], DatasetDraft], tmp_path: Path
) -> None:
    write_dataset(tmp_path / "a", draft)
    write_dataset(tmp_path / "b", change(draft))

    assert read_dataset(tmp_path / "a").fingerprint != read_dataset(tmp_path / "b").fingerprint


def test_a_dataset_folder_is_replaced_whole(draft: DatasetDraft, tmp_path: Path) -> None:
    write_dataset(tmp_path / "shop", draft)
    (tmp_path / "shop/features/old.npy").touch()

    write_dataset(tmp_path / "shop", draft)

    assert not (tmp_path / "shop/features/old.npy").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def test_a_foreign_folder_is_left_alone(draft: DatasetDraft, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(DataError, match=r"holds no dataset\.toml, so it is left alone"):
        write_dataset(tmp_path, draft)

    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_failed_write_keeps_the_old_folder_and_no_rest(
    draft: DatasetDraft, tmp_path: Path
) -> None:
    write_dataset(tmp_path / "shop", draft)
    unwritable = draft.items.with_columns(extra=pl.Series([object()] * 4, dtype=pl.Object))

    with pytest.raises(pl.exceptions.PolarsError):
        write_dataset(tmp_path / "shop", replace(draft, items=unwritable))

    assert read_dataset(tmp_path / "shop").num_items == 4
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def test_missing_folder_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="mutualrec import"):
        read_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["interactions.parquet", "items.parquet"])
def test_missing_table_is_named(draft: DatasetDraft, tmp_path: Path, name: str) -> None:
    write_dataset(tmp_path / "shop", draft)
    (tmp_path / "shop" / name).unlink()

    with pytest.raises(SchemaError, match=f"{name} is missing"):
        read_dataset(tmp_path / "shop")


def test_a_table_that_is_not_parquet_is_named(draft: DatasetDraft, tmp_path: Path) -> None:
    write_dataset(tmp_path / "shop", draft)
    (tmp_path / "shop/items.parquet").write_text("item_id\n1\n")

    with pytest.raises(SchemaError, match=r"items.parquet cannot be read as Parquet"):
        read_dataset(tmp_path / "shop")


def test_missing_features_are_named(draft: DatasetDraft, tmp_path: Path) -> None:
    write_dataset(tmp_path / "shop", draft)
    (tmp_path / "shop/features/image.npy").unlink()

    with pytest.raises(FeatureMismatch, match=r"image.npy is missing, but dataset.toml names it"):
        read_dataset(tmp_path / "shop")


def test_missing_neighbours_are_named(draft: DatasetDraft, tmp_path: Path) -> None:
    write_dataset(tmp_path / "shop", draft)
    (tmp_path / "shop/features/image.neighbours.npz").unlink()

    with pytest.raises(FeatureMismatch, match=r"image.neighbours.npz cannot be read"):
        read_dataset(tmp_path / "shop")


def test_features_of_no_modality_are_refused(draft: DatasetDraft, tmp_path: Path) -> None:
    write_dataset(tmp_path / "shop", draft)
    np.save(tmp_path / "shop/features/audio.npy", np.ones((4, 2), np.float32))

    with pytest.raises(SchemaError, match=r"audio.npy belongs to no modality"):
        read_dataset(tmp_path / "shop")


def test_pickled_features_are_never_loaded(draft: DatasetDraft, tmp_path: Path) -> None:
    write_dataset(tmp_path / "shop", draft)
    np.save(tmp_path / "shop/features/image.npy", np.array([{}] * 4), allow_pickle=True)

    with pytest.raises(FeatureMismatch, match="cannot be read as an array"):
        read_dataset(tmp_path / "shop")


def test_text_modality_needs_no_vectors_yet(draft: DatasetDraft, tmp_path: Path) -> None:
    modalities = {**draft.modalities, "text": ModalitySpec("text", "category")}
    write_dataset(tmp_path / "shop", replace(draft, modalities=modalities))

    assert "text" not in read_dataset(tmp_path / "shop").features


def test_held_out_only_users_are_reported(
    draft: DatasetDraft, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events = draft.interactions.with_columns(split=pl.Series([0, 1, 0, 0, 2], dtype=pl.Int8))

    warnings = write_dataset(tmp_path / "shop", replace(draft, interactions=events))
    ds = read_dataset(tmp_path / "shop")

    assert "1 users have interactions in validation or test only, first 'cid'" in warnings[0]
    assert warnings[0] in caplog.text
    assert ds.interactions.labels is not None
    assert ds.interactions.labels.tolist() == [0, 1, 0, 0, 2]

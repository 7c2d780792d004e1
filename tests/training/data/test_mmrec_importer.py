from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.dataset import read_dataset
from training.data.importers.mmrec import import_mmrec
from training.data.splits import official
from training.errors import FeatureMismatch, SchemaError

INTER = "userID\titemID\tx_label\n0\t2\t0\n1\t0\t1\n1\t1\t2\n0\t0\t0\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two users, items 0 to 2 in the log and a fourth in the features only."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "tiny.inter").write_text(INTER)
    image = np.array([[1, 0], [0, 0], [0, 1], [1, 1]], np.float16)
    np.save(folder / "image_feat.npy", image)
    return folder


def test_rows_equal_the_numbers_of_the_file(source: Path, tmp_path: Path) -> None:
    import_mmrec(source, tmp_path / "out", name="tiny")

    ds = read_dataset(tmp_path / "out")

    assert ds.interactions.user_rows.tolist() == [0, 1, 1, 0]
    assert ds.interactions.item_rows.tolist() == [2, 0, 1, 0]
    assert ds.interactions.labels is not None
    assert ds.interactions.labels.tolist() == [0, 1, 2, 0]
    assert ds.items.ids_tuple == ("0", "1", "2", "3")


def test_the_folder_names_the_data_set(source: Path, tmp_path: Path) -> None:
    assert import_mmrec(source, tmp_path / "out").name == "source"


def test_counts_name_every_part(source: Path, tmp_path: Path) -> None:
    counts = import_mmrec(source, tmp_path / "out").counts

    assert (counts["users"], counts["items"], counts["interactions"]) == (2, 4, 4)
    assert (counts["train"], counts["validation"], counts["test"]) == (2, 1, 1)


def test_zero_rows_are_missing_and_reported(source: Path, tmp_path: Path) -> None:
    report = import_mmrec(source, tmp_path / "out")

    image = read_dataset(tmp_path / "out").features["image"]
    assert np.isnan(image).all(axis=1).tolist() == [False, True, False, False]
    assert "1 all-zero rows of image_feat.npy count as missing" in report.warnings


@pytest.mark.parametrize("marks", [np.array([0, 1]), np.array([True, True, False, False])])
def test_marked_rows_are_missing(source: Path, tmp_path: Path, marks: NDArray[np.generic]) -> None:
    np.save(source / "image_missing.npy", marks)

    import_mmrec(source, tmp_path / "out")

    image = read_dataset(tmp_path / "out").features["image"]
    assert np.isnan(image).all(axis=1).tolist() == [True, True, False, False]


def test_marks_that_do_not_fit_are_refused(source: Path, tmp_path: Path) -> None:
    np.save(source / "image_missing.npy", np.array([4]))

    with pytest.raises(FeatureMismatch, match="save row numbers below 4"):
        import_mmrec(source, tmp_path / "out")


def test_published_neighbours_come_along(source: Path, tmp_path: Path) -> None:
    indices = np.array([[0, 2], [1, 0], [2, 0], [3, 2]], np.int32)
    np.savez(source / "knn10_cosine.npz", image_ind=indices, image_sim=np.ones((4, 2), np.float32))

    import_mmrec(source, tmp_path / "out")

    assert read_dataset(tmp_path / "out").neighbours["image"].indices.tolist() == indices.tolist()


def test_seconds_become_milliseconds(source: Path, tmp_path: Path) -> None:
    text = "userID\titemID\trating\ttimestamp\n0\t1\t3.5\t881250949\n"
    (source / "tiny.inter").write_text(text)

    import_mmrec(source, tmp_path / "out")

    interactions = read_dataset(tmp_path / "out").interactions
    assert interactions.timestamps is not None
    assert interactions.timestamps.tolist() == [881_250_949_000]
    assert interactions.values.tolist() == [3.5]


def test_a_broken_line_is_named(source: Path, tmp_path: Path) -> None:
    (source / "tiny.inter").write_text(INTER.replace("1\t1\t2", "1\tx\t2"))

    with pytest.raises(SchemaError, match="line 4: itemID is 'x'; write a number"):
        import_mmrec(source, tmp_path / "out")


def test_wrong_columns_are_named(source: Path, tmp_path: Path) -> None:
    (source / "tiny.inter").write_text("user,item\n1,2\n")

    with pytest.raises(SchemaError, match="must name userID and itemID, separated by tabs"):
        import_mmrec(source, tmp_path / "out")


def test_a_folder_without_inter_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"must hold one .inter file, found none"):
        import_mmrec(tmp_path, tmp_path / "out")


def test_too_few_feature_rows_are_refused(source: Path, tmp_path: Path) -> None:
    np.save(source / "text_feat.npy", np.ones((2, 2), np.float32))

    with pytest.raises(FeatureMismatch, match=r"features have .* rows; all feature files need"):
        import_mmrec(source, tmp_path / "out")


@pytest.mark.real_data
def test_amazon_baby_is_the_published_split(real_data: Path, tmp_path: Path) -> None:
    report = import_mmrec(real_data / "amazon-baby", tmp_path / "baby")
    ds = read_dataset(tmp_path / "baby")
    split = official(ds)
    parts = (split.train, split.validation, split.test.open(tmp_path / "record.json"))

    assert report.name == "amazon-baby"
    assert (ds.num_users, ds.num_items) == (19_445, 7_050)
    assert [len(part) for part in parts] == [118_551, 20_559, 21_682]
    assert [len(np.unique(part.item_rows)) for part in parts] == [7_047, 5_483, 5_549]
    assert ds.neighbours["text"].indices.shape == (7_050, 10)


@pytest.mark.real_data
def test_tiktok_is_the_published_split(real_data: Path, tmp_path: Path) -> None:
    import_mmrec(real_data / "tiktok", tmp_path / "tiktok")
    ds = read_dataset(tmp_path / "tiktok")
    split = official(ds)

    assert (len(split.train), len(split.validation), len(split.test)) == (59_541, 3_051, 6_130)
    assert set(ds.features) == {"audio", "image"}
    assert ds.features["audio"].dtype == np.float32

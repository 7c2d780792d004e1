import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.data.dataset import Dataset, read_dataset
from training.data.importers.movielens import GENRES, import_movielens
from training.data.splits import known_pairs
from training.errors import SchemaError

Writer = Callable[[Path], None]


def _flags(*genres: str) -> str:
    return "|".join("1" if genre in genres else "0" for genre in GENRES)


def _write_100k(folder: Path) -> None:
    (folder / "u.data").write_text("1\t2\t3\t881250949\n7\t1\t5\t881250950\n")
    (folder / "u.item").write_bytes(
        f"1|Café (1995)|01-Jan-1995||http://x|{_flags('Comedy', 'Drama')}\n"
        f"2|Heat (1995)|01-Jan-1995||http://y|{_flags('unknown')}\n".encode("latin-1")
    )


def _write_1m(folder: Path) -> None:
    (folder / "ratings.dat").write_text("1::2::3::881250949\n7::1::5::881250950\n")
    (folder / "movies.dat").write_bytes(
        "1::Café (1995)::Comedy|Drama\n2::Heat (1995)::\n".encode("latin-1")
    )


def _write_latest(folder: Path) -> None:
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,2,3.0,881250949\n7,1,5.0,881250950\n"
    )
    (folder / "movies.csv").write_text(
        "movieId,title,genres\n1,Café (1995),Comedy|Drama\n2,Heat (1995),(no genres listed)\n",
        encoding="utf-8",
    )


def _write_featured(folder: Path) -> None:
    (folder / "ml100k.inter").write_text(
        "userID\titemID\trating\ttimestamp\n0\t1\t3\t881250949\n6\t0\t5\t881250950\n"
    )
    texts = ["Café (1995) . Comedy, Drama. A bar. With people.", "Heat (1995). unknown. Guns."]
    (folder / "item_text.json").write_text(json.dumps(texts))
    np.save(folder / "image_feat.npy", np.array([[0, 0], [1, 1]], np.float16))
    np.save(folder / "image_missing.npy", np.array([True, False]))


def _import(tmp_path: Path, threshold: float = 0.0) -> Dataset:
    import_movielens(tmp_path, tmp_path / "out", name="ml", threshold=threshold)
    return read_dataset(tmp_path / "out")


@pytest.mark.parametrize("write", [_write_100k, _write_1m, _write_latest, _write_featured])
def test_every_layout_gives_the_same_films_and_ratings(tmp_path: Path, write: Writer) -> None:
    write(tmp_path)

    ds = _import(tmp_path)

    assert ds.metadata["title"].to_list() == ["Café (1995)", "Heat (1995)"]
    assert ds.metadata["genres"].to_list() == ["Comedy, Drama", None]
    assert ds.categories["genre"] == ("Comedy",)
    assert ds.codes["genre"].tolist() == [0, -1]
    assert ds.interactions.item_rows.tolist() == [1, 0]
    assert ds.interactions.values.tolist() == [3.0, 5.0]
    assert ds.interactions.timestamps is not None
    assert ds.interactions.timestamps.tolist() == [881_250_949_000, 881_250_950_000]


def test_every_rating_is_positive_by_default(tmp_path: Path) -> None:
    _write_100k(tmp_path)

    assert len(known_pairs(_import(tmp_path))) == 2


def test_ratings_below_the_threshold_are_dislikes(tmp_path: Path) -> None:
    _write_100k(tmp_path)

    ds = _import(tmp_path, threshold=4)

    assert ds.interactions.types.tolist() == ["dislike", "rating"]
    assert ds.event_types["dislike"].sign == "negative"
    assert len(known_pairs(ds)) == 1


def test_flagged_images_are_missing(tmp_path: Path) -> None:
    _write_featured(tmp_path)

    assert np.isnan(_import(tmp_path).features["image"]).all(axis=1).tolist() == [True, False]


def test_an_unknown_folder_names_the_known_layouts(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"holds no known MovieLens files; expected ml100k.inter"):
        _import(tmp_path)


def test_a_broken_rating_is_named_by_line(tmp_path: Path) -> None:
    _write_latest(tmp_path)
    with (tmp_path / "ratings.csv").open("a") as file:
        file.write("1,2,many,881250949\n")

    with pytest.raises(SchemaError, match=r"ratings.csv: line 4: .*'many'.* must be four numbers"):
        _import(tmp_path)


@pytest.mark.parametrize(
    ("write", "films"),
    [(_write_100k, "u.item"), (_write_1m, "movies.dat"), (_write_latest, "movies.csv")],
)
def test_missing_films_are_named(tmp_path: Path, write: Writer, films: str) -> None:
    write(tmp_path)
    (tmp_path / films).unlink()

    with pytest.raises(SchemaError, match=f"{films} is missing beside the ratings"):
        _import(tmp_path)


@pytest.mark.parametrize(
    ("write", "films", "message"),
    [
        (_write_100k, "u.item", "line 1 has 2 fields, not 24"),
        (_write_1m, "movies.dat", "line 1 is not id::title::genres"),
        (_write_latest, "movies.csv", "expected movieId, title, genres"),
    ],
)
def test_broken_films_are_named(tmp_path: Path, write: Writer, films: str, message: str) -> None:
    write(tmp_path)
    (tmp_path / films).write_text("1|Heat\n")

    with pytest.raises(SchemaError, match=message):
        _import(tmp_path)


def test_texts_must_match_the_films(tmp_path: Path) -> None:
    _write_featured(tmp_path)
    (tmp_path / "item_text.json").write_text('["one"]')

    with pytest.raises(SchemaError, match="must be a list of 2 texts"):
        _import(tmp_path)


@pytest.mark.real_data
def test_movielens_100k_is_complete_and_readable(real_data: Path, tmp_path: Path) -> None:
    report = import_movielens(real_data / "movielens-100k", tmp_path / "ml")
    ds = read_dataset(tmp_path / "ml")

    assert (ds.num_users, ds.num_items, len(ds.interactions)) == (943, 1682, 100_000)
    assert "19 of 1682 items have no image features" in report.warnings
    assert ds.metadata["title"].head(2).to_list() == ["Toy Story (1995)", "GoldenEye (1995)"]
    assert len(ds.categories["genre"]) == 18
    assert ds.metadata["title"].str.len_chars().to_numpy().max() < 100

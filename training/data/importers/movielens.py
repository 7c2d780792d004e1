"""Importer for MovieLens: the public GroupLens folders, and ml-100k with ready-made features."""

import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.dataset import DatasetDraft, EventType, ModalitySpec, write_dataset
from training.data.importers.mmrec import events_of, read_feature_files, read_inter
from training.data.importers.report import ImportReport
from training.errors import SchemaError

GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)  # fmt: skip
_ONE_GENRE = "|".join(re.escape(genre) for genre in GENRES)
_ITEM_TEXT = re.compile(
    rf"(?P<title>.+?) ?\. (?P<genres>(?:{_ONE_GENRE})(?:, (?:{_ONE_GENRE}))*)\."
)
_NO_GENRE = ("unknown", "(no genres listed)", "")


@dataclass(frozen=True)
class _Source:
    """One layout, read: columns userID, itemID, rating, timestamp (s), movies, features."""

    ratings: pl.DataFrame
    items: pl.DataFrame
    features: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def import_movielens(
    source: Path, target: Path, *, name: str | None = None, threshold: float = 0.0
) -> ImportReport:
    """Import a MovieLens folder, recognised by its file names.

    ====================================  =====================================
    files                                 layout
    ====================================  =====================================
    ``ml100k.inter`` (+ ``*_feat.npy``,   ml-100k with features; readable text
    ``item_text.json``)                   becomes title, genres and text
    ``u.data``, ``u.item``                GroupLens ml-100k
    ``ratings.dat``, ``movies.dat``       GroupLens ml-1m, ml-10m
    ``ratings.csv``, ``movies.csv``       GroupLens ml-20m and later, ml-latest
    ====================================  =====================================

    Ratings become events of type ``rating`` with the rating as value. Items get the columns title
    and genres (all, separated by commas), and genre: the first one, a categorical modality.

    Args:
        source: Folder with one of the layouts.
        target: Dataset folder to write.
        name: Name of the data set; the folder's name by default.
        threshold: Ratings below it become events of type ``dislike`` (sign negative). The
            default 0 makes every rating positive.

    Returns:
        Counts (users, items, read, interactions, positive) and warnings.

    Raises:
        SchemaError: No layout is recognised, or a file does not follow its layout.
    """
    found = _read(source)
    events = events_of(found.ratings, "rating").with_columns(
        type=pl.when(pl.col("value") >= threshold)
        .then(pl.lit("rating"))
        .otherwise(pl.lit("dislike"))
    )
    has_genre = "genre" in found.items.columns
    event_types = {"rating": EventType()}
    if threshold > 0:
        event_types["dislike"] = EventType(sign="negative")
    modalities = {key: ModalitySpec("dense", f"features/{key}.npy") for key in found.features}
    if has_genre:
        modalities["genre"] = ModalitySpec("categorical", "genre")
    users = found.ratings["userID"].unique().sort().cast(pl.String)
    draft = DatasetDraft(
        name=name or source.resolve().name,
        event_types=event_types,
        modalities=modalities,
        interactions=events,
        items=found.items,
        users=pl.DataFrame({"user_id": users}),
        features=found.features,
    )
    warnings = dict.fromkeys((*found.warnings, *write_dataset(target, draft)))
    counts = {"users": len(users), "items": len(found.items), "read": len(events)}
    counts["interactions"] = len(events)
    counts["positive"] = int((events["type"] == "rating").sum())
    return ImportReport(draft.name, target, counts, 0, tuple(warnings))


def _read(source: Path) -> _Source:
    if (source / "ml100k.inter").exists():
        return _read_featured(source)
    if (source / "u.data").exists():
        return _Source(_read_dat(source / "u.data", "\t"), _read_u_item(source / "u.item"))
    if (source / "ratings.dat").exists():
        return _Source(_read_dat(source / "ratings.dat", "::"), _read_movies_dat(source))
    if (source / "ratings.csv").exists():
        return _read_latest(source)
    raise SchemaError(
        f"{source} holds no known MovieLens files; expected ml100k.inter, u.data, ratings.dat or "
        "ratings.csv; give the unpacked folder"
    )


def _read_featured(source: Path) -> _Source:
    ratings = read_inter(source / "ml100k.inter")
    warnings: list[str] = []
    features = read_feature_files(source, warnings)
    highest = int(ratings["itemID"].to_numpy().max()) + 1
    count = max([highest, *(len(matrix) for matrix in features.values())])
    items = pl.DataFrame({"item_id": [str(row) for row in range(count)]})
    texts = source / "item_text.json"
    if texts.exists():
        items = items.hstack(_parse_texts(texts, count))
    return _Source(ratings, items, features, tuple(warnings))


def _parse_texts(path: Path, count: int) -> pl.DataFrame:
    texts = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(texts, list) or len(texts) != count:
        raise SchemaError(f"{path} must be a list of {count} texts, one per item, in item order")
    matches = [_ITEM_TEXT.match(text) for text in texts]
    titles = [match["title"] if match else text for match, text in zip(matches, texts, strict=True)]
    genres = [match["genres"].split(", ") if match else [] for match in matches]
    return pl.DataFrame({"title": titles, **_genre_columns(genres), "text": texts})


def _genre_columns(genres: list[list[str]]) -> dict[str, pl.Series]:
    known = [[genre for genre in found if genre not in _NO_GENRE] for found in genres]
    return {
        "genre": pl.Series([found[0] if found else None for found in known], dtype=pl.String),
        "genres": pl.Series([", ".join(found) or None for found in known], dtype=pl.String),
    }


def _read_dat(path: Path, separator: str) -> pl.DataFrame:
    text = path.read_text(encoding="latin-1").replace(separator, "\t")
    return _typed(_lines(text, path), path)


def _lines(text: str, path: Path) -> pl.DataFrame:
    names = ["userID", "itemID", "rating", "timestamp"]
    try:
        return pl.read_csv(
            io.BytesIO(text.encode()),
            separator="\t",
            has_header=False,
            new_columns=names,
            infer_schema=False,
            quote_char=None,
        ).select(names)
    except pl.exceptions.PolarsError as error:
        raise SchemaError(
            f"{path} is not user, movie, rating, timestamp per line: {error}; "
            "download the folder again"
        ) from error


def _typed(ratings: pl.DataFrame, path: Path, first_line: int = 1) -> pl.DataFrame:
    typed = ratings.select(
        pl.col("userID").cast(pl.Int64, strict=False),
        pl.col("itemID").cast(pl.Int64, strict=False),
        pl.col("rating").cast(pl.Float64, strict=False),
        pl.col("timestamp").cast(pl.Int64, strict=False),
    )
    bad = np.flatnonzero(typed.select(pl.any_horizontal(pl.all().is_null())).to_series().to_numpy())
    if len(bad):
        raise SchemaError(
            f"{path}: line {bad[0] + first_line}: {ratings.row(int(bad[0]))} must be four numbers; "
            "correct the line or download the folder again"
        )
    return typed


def _read_u_item(path: Path) -> pl.DataFrame:
    rows = [line.split("|") for line in _movie_lines(path)]
    for number, row in enumerate(rows, start=1):
        if len(row) != 5 + len(GENRES):
            raise SchemaError(f"{path}: line {number} has {len(row)} fields, not {5 + len(GENRES)}")
    genres = [
        [genre for genre, flag in zip(GENRES, row[5:], strict=True) if flag == "1"] for row in rows
    ]
    return pl.DataFrame(
        {
            "item_id": [row[0] for row in rows],
            "title": [row[1] for row in rows],
            **_genre_columns(genres),
        }
    )


def _read_movies_dat(source: Path) -> pl.DataFrame:
    path = source / "movies.dat"
    rows = [line.split("::") for line in _movie_lines(path)]
    for number, row in enumerate(rows, start=1):
        if len(row) != 3:
            raise SchemaError(f"{path}: line {number} is not id::title::genres, but {row}")
    return pl.DataFrame(
        {
            "item_id": [row[0] for row in rows],
            "title": [row[1] for row in rows],
            **_genre_columns([row[2].split("|") for row in rows]),
        }
    )


def _movie_lines(path: Path) -> list[str]:
    if not path.exists():
        raise SchemaError(f"{path} is missing beside the ratings; download the folder again")
    return [line for line in path.read_text(encoding="latin-1").split("\n") if line.strip()]


def _read_latest(source: Path) -> _Source:
    ratings_path, movies_path = source / "ratings.csv", source / "movies.csv"
    if not movies_path.exists():
        raise SchemaError(f"{movies_path} is missing beside the ratings; download the folder again")
    ratings = pl.read_csv(ratings_path, infer_schema=False)
    movies = pl.read_csv(movies_path, infer_schema=False)
    if ratings.columns[:4] != ["userId", "movieId", "rating", "timestamp"]:
        raise SchemaError(
            f"{ratings_path}: columns are {ratings.columns}, expected userId, movieId, rating, "
            "timestamp"
        )
    if movies.columns[:3] != ["movieId", "title", "genres"]:
        raise SchemaError(
            f"{movies_path}: columns are {movies.columns}, expected movieId, title, genres"
        )
    ratings = ratings.rename({"userId": "userID", "movieId": "itemID"})
    genres = [found.split("|") for found in movies["genres"].fill_null("").to_list()]
    items = movies.select(item_id="movieId", title="title").with_columns(**_genre_columns(genres))
    return _Source(_typed(ratings, ratings_path, first_line=2), items)

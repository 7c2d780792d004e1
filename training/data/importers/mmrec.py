"""Importer for the folders of the MMRec benchmark."""

import logging
import re
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.dataset import DatasetDraft, EventType, ModalitySpec, Neighbours, write_dataset
from training.data.importers.report import ImportReport
from training.data.tables import load_array
from training.errors import FeatureMismatch, SchemaError

logger = logging.getLogger(__name__)

_COLUMNS = ("userID", "itemID", "x_label", "rating", "timestamp")


def import_mmrec(source: Path, target: Path, *, name: str | None = None) -> ImportReport:
    """Import ``<name>.inter`` and the ``<modality>_feat.npy`` beside it.

    Ids become the row numbers as text, for users and items alike, so rows here equal the
    benchmark's. Items that occur in the features only stay items. Optional files:
    ``<modality>_missing.npy`` (row numbers, or one bool per item) and all-zero rows mark missing
    features, which become NaN; ``knn10_cosine.npz`` (``<modality>_ind``, ``<modality>_sim``) holds
    published neighbours. Labels 0/1/2 become the official split; every row is an ``interaction``
    event. Timestamps below 1e11 are taken as seconds.

    Args:
        source: Folder with exactly one ``.inter`` file, or that file.
        target: Dataset folder to write.
        name: Name of the data set; the folder's name by default.

    Returns:
        Counts (users, items, interactions, train, validation, test) and warnings.

    Raises:
        SchemaError: No or several ``.inter`` files, or columns are missing or not numbers.
        FeatureMismatch: Feature files disagree about the number of items.
    """
    inter = find_inter(source)
    rows = read_inter(inter)
    warnings: list[str] = []
    features = read_feature_files(inter.parent, warnings)
    num_items = _num_items(rows, features, inter)
    users = int(rows["userID"].to_numpy().max()) + 1
    draft = DatasetDraft(
        name=name or inter.parent.resolve().name,
        event_types={"interaction": EventType()},
        modalities={key: ModalitySpec("dense", f"features/{key}.npy") for key in features},
        interactions=events_of(rows),
        items=pl.DataFrame({"item_id": _numbered(num_items)}),
        users=pl.DataFrame({"user_id": _numbered(users)}),
        features=features,
        neighbours=_read_knn(inter.parent / "knn10_cosine.npz", features, warnings),
    )
    warnings += write_dataset(target, draft)
    counts = {"users": users, "items": num_items, "read": len(rows), "interactions": len(rows)}
    if "x_label" in rows.columns:
        for label, part in enumerate(("train", "validation", "test")):
            counts[part] = int((rows["x_label"] == label).sum())
    return ImportReport(draft.name, target, counts, 0, tuple(dict.fromkeys(warnings)))


def find_inter(source: Path) -> Path:
    """The one ``.inter`` file of a folder (or the file itself).

    Raises:
        SchemaError: There is none, or more than one.
    """
    if source.is_file():
        return source
    found = sorted(source.glob("*.inter"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise SchemaError(
            f"{source} must hold one .inter file, found {names}; give the folder of the data set "
            "or the path of the file"
        )
    return found[0]


def read_inter(path: Path) -> pl.DataFrame:
    """Read a ``.inter`` file: tab separated, whole-number ids.

    Raises:
        SchemaError: A column is missing, or a value is no number; the message names the line.
    """
    table = pl.read_csv(path, separator="\t", infer_schema=False, quote_char=None)
    columns = [name for name in _COLUMNS if name in table.columns]
    if columns[:2] != ["userID", "itemID"]:
        raise SchemaError(
            f"{path}: columns are {table.columns}; the first line must name userID and itemID, "
            "separated by tabs"
        )
    wanted = {name: pl.Float64 if name == "rating" else pl.Int64 for name in columns}
    typed = table.select(pl.col(name).cast(kind, strict=False) for name, kind in wanted.items())
    for name in columns:
        lowest = 0 if name != "rating" else -np.inf
        bad = np.flatnonzero((typed[name].is_null() | (typed[name] < lowest)).to_numpy())
        if len(bad):
            raise SchemaError(
                f"{path}: line {bad[0] + 2}: {name} is {table[name][int(bad[0])]!r}; "
                "write a number >= 0"
            )
    if typed.is_empty():
        raise SchemaError(f"{path} names no interaction; add a line per interaction")
    return typed


def events_of(rows: pl.DataFrame, kind: str = "interaction") -> pl.DataFrame:
    """Columns of interactions.parquet from the columns of an ``.inter`` file."""
    times = pl.col("timestamp") if "timestamp" in rows.columns else pl.lit(None, pl.Int64)
    events = rows.select(
        user_id=pl.col("userID").cast(pl.String),
        item_id=pl.col("itemID").cast(pl.String),
        timestamp=pl.when(times < 10**11).then(times * 1000).otherwise(times),
        type=pl.lit(kind),
        value=(pl.col("rating") if "rating" in rows.columns else pl.lit(1.0)).cast(pl.Float32),
    )
    if "x_label" in rows.columns:
        events = events.with_columns(split=rows["x_label"].cast(pl.Int8))
    return events


def read_feature_files(folder: Path, warnings: list[str]) -> dict[str, NDArray[np.float32]]:
    """Read every ``<modality>_feat.npy``, missing rows as NaN; adds findings to ``warnings``.

    Raises:
        FeatureMismatch: A file is no float matrix, or ``<modality>_missing.npy`` does not fit it.
    """
    features: dict[str, NDArray[np.float32]] = {}
    for path in sorted(folder.glob("*_feat.npy")):
        modality = re.sub(r"[^a-z0-9_-]", "-", path.name.removesuffix("_feat.npy").lower())
        raw = load_array(path)
        if raw.ndim != 2 or raw.dtype.kind != "f":
            raise FeatureMismatch(
                f"{path} has shape {raw.shape} and dtype {raw.dtype}; save a float matrix "
                "[items, width]"
            )
        matrix = raw.astype(np.float32)
        flagged = _flagged(folder / path.name.replace("_feat.npy", "_missing.npy"), len(matrix))
        zero = (matrix == 0).all(axis=1)
        matrix[flagged | zero] = np.nan
        if (zero & ~flagged).any():
            warnings.append(
                f"{int((zero & ~flagged).sum())} all-zero rows of {path.name} count as missing"
            )
        features[modality] = matrix
    return features


def _flagged(path: Path, num_items: int) -> NDArray[np.bool_]:
    flagged = np.zeros(num_items, dtype=np.bool_)
    if not path.exists():
        return flagged
    marks = load_array(path)
    if marks.dtype == np.bool_ and marks.shape == (num_items,):
        return marks
    if marks.dtype.kind not in "iu" or (
        marks.size and not 0 <= marks.min() <= marks.max() < num_items
    ):
        raise FeatureMismatch(
            f"{path} has shape {marks.shape} and dtype {marks.dtype}; save row numbers below "
            f"{num_items}, or one bool per item"
        )
    flagged[marks.ravel()] = True
    return flagged


def _num_items(rows: pl.DataFrame, features: dict[str, NDArray[np.float32]], inter: Path) -> int:
    highest = int(rows["itemID"].to_numpy().max()) + 1
    sizes = {name: len(matrix) for name, matrix in features.items()}
    if len(set(sizes.values())) > 1 or (sizes and min(sizes.values()) < highest):
        raise FeatureMismatch(
            f"{inter} names items up to {highest - 1}, features have {sizes} rows; all feature "
            "files need the same rows, one per item"
        )
    return max(sizes.values(), default=highest)


def _read_knn(
    path: Path, features: dict[str, NDArray[np.float32]], warnings: list[str]
) -> dict[str, Neighbours]:
    if not path.exists():
        return {}
    found: dict[str, Neighbours] = {}
    with np.load(path, allow_pickle=False) as archive:
        for modality in features:
            if f"{modality}_ind" in archive and f"{modality}_sim" in archive:
                found[modality] = Neighbours(
                    archive[f"{modality}_ind"].astype(np.int64),
                    archive[f"{modality}_sim"].astype(np.float32),
                )
            else:
                warnings.append(f"{path.name} has no neighbours of {modality}")
    return found


def _numbered(count: int) -> list[str]:
    return [str(row) for row in range(count)]

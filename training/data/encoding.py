"""Encoding a column of texts of a dataset's items as a modality."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from service.artifact import TextEncoder
from training.data.dataset import DatasetDraft, ModalitySpec, read_draft, write_dataset
from training.errors import SchemaError

Advance = Callable[[int, int], None]
"""Called with the number of texts that are encoded, and of all."""

_AT_ONCE = 256


@dataclass(frozen=True)
class EncodeReport:
    """What was encoded: items with a text, items without one, the width of the vectors."""

    encoded: int
    missing: int
    width: int


def encode_column(
    folder: Path,
    column: str,
    encoder: TextEncoder,
    *,
    modality: str = "text",
    advance: Advance = lambda _done, _all: None,
) -> EncodeReport:
    """Give a dataset folder a modality of texts, or encode one anew; all or nothing.

    The vectors of items without a text are missing (NaN). The folder says which encoder they are
    from, and so do the versions that are published from it. Other files in it stay.

    Args:
        folder: Dataset folder.
        column: Column of items.parquet with the texts.
        encoder: The encoder.
        modality: Name of the modality.
        advance: Told how far it is.

    Raises:
        SchemaError: There is no such column, it holds no texts, or the modality is of another kind.
    """
    draft = read_draft(folder)
    texts = _texts(draft, column, folder)
    old = draft.modalities.get(modality)
    if old is not None and old.kind != "text":
        raise SchemaError(
            f"{folder}: modality {modality!r} is {old.kind}; choose another name for the texts with"
            " --modality"
        )
    rows = [row for row, text in enumerate(texts) if text is not None and text.strip()]
    matrix = np.full((len(texts), encoder.width), np.nan, np.float32)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            found = threads.map(encoder.encode, (texts[row] or "" for row in part))
            matrix[part] = np.stack(list(found))
            advance(start + len(part), len(rows))
    spec = ModalitySpec("text", column, encoder=f"{encoder.name}@{encoder.digest}")
    encoded = replace(
        draft,
        modalities={**draft.modalities, modality: spec},
        features={**draft.features, modality: matrix},
        neighbours={name: x for name, x in draft.neighbours.items() if name != modality},
    )
    write_dataset(folder, encoded, also=lambda target: _keep_others(folder, target, modality))
    return EncodeReport(len(rows), len(texts) - len(rows), encoder.width)


def _texts(draft: DatasetDraft, column: str, folder: Path) -> list[str | None]:
    if column not in draft.items.columns or column == "item_id":
        columns = ", ".join(name for name in draft.items.columns if name != "item_id")
        raise SchemaError(
            f"{folder}/items.parquet has no column {column!r}; choose one of: {columns or 'none'}"
        )
    texts = draft.items[column]
    if texts.dtype != pl.String:
        raise SchemaError(
            f"{folder}/items.parquet: {column} holds {texts.dtype}, not texts; choose another one"
        )
    found: list[str | None] = texts.to_list()
    return found


def _keep_others(folder: Path, target: Path, modality: str) -> None:
    """Copies what is no part of every dataset, such as the files of an importer."""
    # The old neighbours of the modality are of its old vectors.
    stale = {f"features/{modality}.neighbours.npz"}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.as_posix() not in stale and not (target / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)

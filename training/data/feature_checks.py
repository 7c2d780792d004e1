"""Rules for feature matrices and published neighbours."""

import numpy as np
from numpy.typing import NDArray

from training.data.tables import DatasetDraft, feature_path
from training.errors import FeatureMismatch, SchemaError


def check_features(draft: DatasetDraft, where: str) -> list[str]:
    """Check shape, dtype and finiteness of every feature matrix.

    Args:
        draft: Tables and arrays.
        where: The folder's path, for messages.

    Returns:
        One sentence per modality that has missing rows.

    Raises:
        FeatureMismatch: Wrong number of rows, not a float matrix, inf, or a partly NaN row.
        SchemaError: Features of a modality that dataset.toml does not name, or none where it does.
    """
    warnings = []
    for name in draft.features:
        if name not in draft.modalities or draft.modalities[name].kind == "categorical":
            raise SchemaError(
                f"{where}: features[{name!r}] belong to no dense, text or image modality of "
                f"dataset.toml ({', '.join(draft.modalities) or 'none'}); add [modalities.{name}]"
            )
    for name, spec in draft.modalities.items():
        if name in draft.features:
            file = f"{where}/{feature_path(name, spec)}"
            missing = _check_matrix(draft.features[name], len(draft.items), file)
            if missing:
                warnings.append(f"{missing} of {len(draft.items)} items have no {name} features")
        elif spec.kind == "dense":
            raise FeatureMismatch(
                f"{where}: dense modality {name!r} has no features; add them or remove the modality"
            )
    return warnings


def check_neighbours(draft: DatasetDraft, where: str) -> None:
    """Check shapes, ranges and finiteness of published neighbours.

    Raises:
        FeatureMismatch: They do not fit the items or each other, or a named file has none.
    """
    for name, spec in draft.modalities.items():
        if spec.neighbours is not None and name not in draft.neighbours:
            raise FeatureMismatch(
                f"{where}: [modalities.{name}] names {spec.neighbours}, but there are no such "
                "neighbours; add them or remove the key"
            )
    for name, neighbours in draft.neighbours.items():
        if name not in draft.modalities or draft.modalities[name].neighbours is None:
            raise FeatureMismatch(
                f"{where}: neighbours of {name!r} are named by no modality; add "
                f'neighbours = "features/{name}.neighbours.npz" to [modalities.{name}]'
            )
        file = f"{where}/{draft.modalities[name].neighbours}"
        indices, similarities = neighbours.indices, neighbours.similarities
        if indices.ndim != 2 or indices.shape != similarities.shape:
            raise FeatureMismatch(
                f"{file}: indices {indices.shape} and similarities {similarities.shape} must both "
                "be [items, k]; compute them again"
            )
        _check_rows(len(indices), len(draft.items), file)
        if indices.size and (indices.min() < 0 or indices.max() >= len(draft.items)):
            raise FeatureMismatch(
                f"{file}: indices span {indices.min()}..{indices.max()}, items are "
                f"0..{len(draft.items) - 1}; compute them for these items"
            )
        if not np.isfinite(similarities).all():
            raise FeatureMismatch(f"{file}: similarities hold NaN or inf; compute them again")


def missing_rows(matrix: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Rows that are entirely NaN, bool [num_items]."""
    missing: NDArray[np.bool_] = np.isnan(matrix).all(axis=1)
    return missing


def _check_matrix(matrix: NDArray[np.floating], num_items: int, file: str) -> int:
    if matrix.ndim != 2 or matrix.shape[-1] == 0 or matrix.dtype.kind != "f":
        raise FeatureMismatch(
            f"{file} has shape {matrix.shape} and dtype {matrix.dtype}; save a float32 matrix of "
            "[items, width]"
        )
    _check_rows(len(matrix), num_items, file)
    finite = np.isfinite(np.asarray(matrix, dtype=np.float32))
    if finite.all():
        return 0
    missing = missing_rows(matrix)
    bad = np.flatnonzero(~finite.all(axis=1) & ~missing)
    if len(bad):
        row = int(bad[0])
        column = int(np.flatnonzero(~finite[row])[0])
        raise FeatureMismatch(
            f"{file}: row {row + 1}, column {column + 1} is {matrix[row, column]} as float32; "
            f"{len(bad)} rows are affected; fill the value, or make the whole row NaN to mark the "
            "item's features as missing"
        )
    return int(missing.sum())


def _check_rows(rows: int, num_items: int, file: str) -> None:
    if rows != num_items:
        raise FeatureMismatch(
            f"{file} has {rows:,} rows but items.parquet has {num_items:,} items; build it again "
            "with one row per item, in the order of items.parquet"
        )

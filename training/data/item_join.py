"""Joining what was said of items through the service to the items of a data set."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from training.data.item_states import ItemState
from training.data.tables import DatasetDraft, Neighbours

logger = logging.getLogger(__name__)

_BLOCK_ROWS = 512


def join_items(draft: DatasetDraft, states: Sequence[ItemState]) -> DatasetDraft:
    """Put vectors into the modalities' matrices and metadata into the columns of the items.

    Items the data set does not have are left out: nobody has had to do with them, so there is
    nothing to learn, and the service places them by what they resemble. Published neighbours of an
    item with a new vector are found anew among all items; those of others stay. A vector of a
    wrong width and a value of a wrong type are left out and logged: they were given to a version
    with other data.

    Args:
        draft: A data set.
        states: What was said of items; each item once.
    """
    rows = {item_id: row for row, item_id in enumerate(draft.items["item_id"].to_list())}
    by_row = {rows[state.item_id]: state for state in states if state.item_id in rows}
    if not by_row:
        return draft
    features, neighbours = dict(draft.features), dict(draft.neighbours)
    for name, matrix in draft.features.items():
        encoder = (draft.modalities[name].encoder or "").rpartition("@")[2]
        given = {
            row: state.features[name]
            for row, state in by_row.items()
            # Vectors of two encoders cannot be compared.
            if name in state.features and state.encoders.get(name) in (None, encoder)
        }
        joined, changed = _with_vectors(name, matrix, given)
        features[name] = joined
        if name in neighbours and len(changed):
            neighbours[name] = _with_neighbours(neighbours[name], joined, changed)
    items = draft.items
    for name in items.columns:
        if name != "item_id":
            values = {r: s.metadata[name] for r, s in by_row.items() if name in s.metadata}
            items = _with_values(items, name, values)
    return replace(draft, items=items, features=features, neighbours=neighbours)


def _with_vectors(
    name: str, matrix: NDArray[np.float32], given: Mapping[int, Sequence[float]]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The matrix with rows replaced, and which were."""
    width = matrix.shape[1]
    # Too large for float32 is infinite here, and left out with the rest.
    with np.errstate(over="ignore"):
        vectors = {row: np.asarray(values, np.float32) for row, values in given.items()}
    fitting = {r: v for r, v in vectors.items() if v.shape == (width,) and np.isfinite(v).all()}
    if len(fitting) < len(given):
        logger.warning(
            "%d vectors of %s given to items are not %d finite numbers, and are not learned from",
            len(given) - len(fitting), name, width,
        )  # fmt: skip
    changed = np.array(sorted(fitting), np.int64)
    if not len(changed):
        return matrix, changed
    joined = np.array(matrix, np.float32)
    joined[changed] = np.stack([fitting[row] for row in changed.tolist()])
    return joined, changed


def _with_neighbours(
    neighbours: Neighbours, matrix: NDArray[np.float32], changed: NDArray[np.int64]
) -> Neighbours:
    indices, similarities = neighbours.indices.copy(), neighbours.similarities.copy()
    k = indices.shape[1]
    known = np.nan_to_num(matrix, nan=0.0)
    lengths = np.linalg.norm(known, axis=1, keepdims=True)
    units = known / np.where(lengths > 0, lengths, 1.0)
    for start in range(0, len(changed), _BLOCK_ROWS):
        rows = changed[start : start + _BLOCK_ROWS]
        cosines = units[rows] @ units.T  # [block, num_items]
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        indices[rows] = nearest
        similarities[rows] = np.take_along_axis(cosines, nearest, 1)
    return Neighbours(indices, similarities)


def _with_values(items: pl.DataFrame, name: str, values: Mapping[int, object]) -> pl.DataFrame:
    wanted = items[name].to_arrow().type
    typed: dict[int, object] = {}
    for row, value in values.items():
        try:
            typed[row] = _typed(value, wanted)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            logger.warning("a value of %s given to an item is not learned from: %s", name, error)
    if not typed:
        return items
    given = pl.DataFrame(
        {
            "row": pl.Series(list(typed), dtype=pl.UInt32),
            "given": pl.Series(list(typed.values()), dtype=items[name].dtype),
            "has": [True] * len(typed),
        }
    )
    joined = items.select(name).with_row_index("row").join(given, on="row", how="left").sort("row")
    column = joined.select(
        pl.when(pl.col("has").is_not_null()).then(pl.col("given")).otherwise(pl.col(name))
    ).to_series()
    return items.with_columns(column.alias(name))


def _typed(value: object, wanted: pa.DataType) -> object:
    """A JSON value as the column has it, by the rules by which the service took it."""
    try:
        return pa.array([value], wanted)[0].as_py()
    except (pa.ArrowException, TypeError):
        return pa.array([value]).cast(wanted)[0].as_py()

"""A dataset without the users and items that were erased since it was made."""

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from service.events import digest_of
from training.data.tables import DatasetDraft, Neighbours

ERASED_KEY = b"mutualrec.erased"
"""Key of the metadata of rows of the event log."""
ErasedAt = Mapping[str, int]
"""Digest of an id to when it was erased, epoch ms."""


def erasures_of(events: pa.Table) -> tuple[ErasedAt, ErasedAt]:
    """The erased users and items that rows of the event log tell of in their metadata."""
    said = json.loads((events.schema.metadata or {}).get(ERASED_KEY, b"{}"))
    return said.get("user", {}), said.get("item", {})


def forget(draft: DatasetDraft, users: ErasedAt, items: ErasedAt) -> DatasetDraft:
    """Leave erased users and items out; what they did later stays.

    An item that came back keeps its row, an erased user that did is one like a new one. Neighbours
    that are gone become the item itself at similarity 0.
    """
    if not users and not items:
        return draft
    rows = forget_rows(draft.interactions, users, items)
    gone = _known(draft.items["item_id"], items) & ~draft.items["item_id"].is_in(
        rows["item_id"].unique().implode()
    )
    stay = ~gone.to_numpy()
    people = draft.users
    if people is not None:
        absent = ~people["user_id"].is_in(rows["user_id"].unique().implode())
        people = people.filter(~(_known(people["user_id"], users) & absent))
    return replace(
        draft,
        interactions=rows,
        items=draft.items.filter(~gone),
        users=people,
        features={name: matrix[stay] for name, matrix in draft.features.items()},
        neighbours={name: _without(x, stay) for name, x in draft.neighbours.items()},
    )


def forget_rows(rows: pl.DataFrame, users: ErasedAt, items: ErasedAt) -> pl.DataFrame:
    """Rows with columns user_id, item_id and timestamp, without those of before an erasure."""
    if not users and not items:
        return rows
    return rows.filter(~(_is_erased(rows, "user_id", users) | _is_erased(rows, "item_id", items)))


def _known(ids: pl.Series, erased: ErasedAt) -> pl.Series:
    if not erased:
        return pl.repeat(value=False, n=len(ids), eager=True)
    return pl.Series([digest_of(one) in erased for one in ids], dtype=pl.Boolean)


def _is_erased(rows: pl.DataFrame, column: str, erased: ErasedAt) -> pl.Series:
    """Per interaction, whether it was before its user's or item's erasure, or has no time."""
    distinct = rows[column].unique() if erased else ()
    moments = {one: erased[digest] for one in distinct if (digest := digest_of(one)) in erased}
    at = rows[column].replace_strict(moments, default=None, return_dtype=pl.Int64)
    before = rows["timestamp"].cast(pl.Int64).is_null() | (rows["timestamp"] <= at)
    return (at.is_not_null() & before).fill_null(value=False)


def _without(neighbours: Neighbours, stay: NDArray[np.bool_]) -> Neighbours:
    new_rows = np.where(stay, np.cumsum(stay) - 1, -1)
    indices = new_rows[neighbours.indices[stay]]  # [num_kept, k], -1 where one is gone
    own = np.broadcast_to(np.arange(len(indices))[:, None], indices.shape)
    similarities = np.where(indices < 0, np.float32(0), neighbours.similarities[stay])
    return Neighbours(np.where(indices < 0, own, indices), similarities)

"""The newest interactions, which neither the champion nor the candidate may have learned from."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.artifact import Artifact
from training.data.dataset import Dataset
from training.data.identifiers import IdMap
from training.data.pairs import Pairs
from training.data.splits import positive_pairs
from training.gate.limits import Limits


@dataclass(frozen=True)
class Holdout:
    """What is asked for, and what may be known when it is asked.

    Attributes:
        dataset: Everything there is, the held-out interactions included.
        pairs: The held-out pairs.
        known: All other pairs; together they are every positive pair of the dataset.
    """

    dataset: Dataset
    pairs: Pairs
    known: Pairs

    @property
    def num_users(self) -> int:
        """How many users have something held out."""
        return len(np.unique(self.pairs.user_rows))


def hold_out(dataset: Dataset, champion: Artifact, limits: Limits) -> Holdout:
    """Choose the newest of the interactions that the champion does not know.

    A `holdout_share` of them, and where that is fewer than `holdout_pairs`, as many as are needed
    for that, but never more than half: the candidate has to learn from new ones as well. Equal
    times, unknown ones included, are ordered by a fixed random draw.

    Args:
        dataset: Everything there is.
        champion: The current version.
        limits: The holdout's size.
    """
    pairs = positive_pairs(dataset)
    everything = Pairs(pairs.user_rows, pairs.item_rows)
    new = np.flatnonzero(~_within(everything, seen_pairs(champion, dataset), dataset.num_items))
    share = math.ceil(limits.holdout_share * len(new))
    size = max(share, min(limits.holdout_pairs, len(new) // 2))
    times = np.zeros(len(new)) if pairs.timestamps is None else pairs.timestamps[new]
    ties = np.random.default_rng(0).permutation(len(new))
    newest = np.lexsort((ties, -times))[:size]
    held = np.zeros(len(everything), dtype=np.bool_)
    held[new[newest]] = True
    return Holdout(dataset, _where(everything, held), _where(everything, ~held))


def training_part(holdout: Holdout) -> Dataset:
    """Return the dataset without any event of a held-out pair; users and items stay."""
    dataset = holdout.dataset
    if not len(holdout.pairs):
        return dataset
    events = dataset.interactions
    keys = _keys(events.user_rows, events.item_rows, dataset.num_items)
    held = _keys(holdout.pairs.user_rows, holdout.pairs.item_rows, dataset.num_items)
    kept = ~np.isin(keys, held)
    digest = hashlib.sha256(f"{dataset.fingerprint} without ".encode())
    digest.update(held.tobytes())
    return replace(
        dataset,
        interactions=replace(
            events,
            user_rows=events.user_rows[kept],
            item_rows=events.item_rows[kept],
            timestamps=None if events.timestamps is None else events.timestamps[kept],
            types=events.types[kept],
            values=events.values[kept],
            labels=None if events.labels is None else events.labels[kept],
        ),
        fingerprint=digest.hexdigest(),
    )


def seen_pairs(artifact: Artifact, dataset: Dataset) -> Pairs:
    """Return the pairs a version knows, in the dataset's rows; those it has no row for are gone."""
    users = rows_in(dataset.users, artifact.user_ids)
    items = rows_in(dataset.items, artifact.item_ids)
    user_rows = np.repeat(users, np.diff(artifact.seen_indptr))
    item_rows = items[artifact.seen_indices]
    there = (user_rows >= 0) & (item_rows >= 0)
    return Pairs.of(user_rows[there], item_rows[there])


def minus(pairs: Pairs, others: Pairs, num_items: int) -> Pairs:
    """Return the pairs that are not among the others."""
    return _where(pairs, ~_within(pairs, others, num_items))


def rows_in(known: IdMap, ids: Iterable[str]) -> NDArray[np.int64]:
    """Return the row of every id, int64; -1 for an id that is not there."""
    row_of = {name: row for row, name in enumerate(known.ids_tuple)}
    return np.array([row_of.get(name, -1) for name in ids], np.int64)


def _within(pairs: Pairs, others: Pairs, num_items: int) -> NDArray[np.bool_]:
    return np.isin(
        _keys(pairs.user_rows, pairs.item_rows, num_items),
        _keys(others.user_rows, others.item_rows, num_items),
    )


def _where(pairs: Pairs, chosen: NDArray[np.bool_]) -> Pairs:
    return Pairs(pairs.user_rows[chosen], pairs.item_rows[chosen])


def _keys(
    user_rows: NDArray[np.int64], item_rows: NDArray[np.int64], num_items: int
) -> NDArray[np.int64]:
    return user_rows * np.int64(num_items) + item_rows

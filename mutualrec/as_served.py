"""Versions as the service would serve them, for the gate of the trainer."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from service.artifact import Artifact
    from training.gate.serving import UserEvents

_AT_ONCE = 512


class AsServed:
    """A version with the service's own index and its own rule of moving users' vectors."""

    def __init__(self, artifact: "Artifact") -> None:
        """Build the index.

        Raises:
            ArtifactCorrupt: The artifact cannot be served.
        """
        from service.snapshot import build_snapshot

        self._snapshot = build_snapshot(artifact, "cpu")

    def queries(self, events: "UserEvents") -> NDArray[np.float32]:
        """See `training.gate.serving.Served`."""
        from service.user_vector import Moved, user_vectors

        snapshot = self._snapshot
        artifact = snapshot.artifact
        user_rows = _rows(snapshot.user_rows, events.user_ids)
        vectors = np.zeros((len(user_rows), artifact.users.shape[1]), np.float32)
        vectors[user_rows >= 0] = artifact.users[user_rows[user_rows >= 0]]
        users, item_rows, weights = self._fresh(events, user_rows)
        if not len(users):
            return vectors
        moved, starts = np.unique(users, return_index=True)
        ends = [*starts[1:].tolist(), len(users)]
        of_users = [None if row < 0 else row for row in user_rows[moved].tolist()]
        rows_of, weights_of = item_rows.tolist(), weights.tolist()
        wanted = [
            Moved(row, rows_of[start:end], weights_of[start:end])
            for row, start, end in zip(of_users, starts.tolist(), ends, strict=True)
        ]
        for first in range(0, len(wanted), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            made = user_vectors(artifact, snapshot.fold_in, wanted[some])
            for place, vector in zip(moved[some].tolist(), made, strict=True):
                vectors[place] = 0.0 if vector is None else vector
        return vectors

    def _fresh(
        self, events: "UserEvents", user_rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """What counts as new: places of users, rows of items and weights, in this order."""
        from service.event_weights import EventWeight

        snapshot = self._snapshot
        items = _rows(snapshot.item_rows, events.item_ids)[events.items]
        weights = np.empty(len(items))
        for kind, name in enumerate(events.types):
            of_kind = events.kinds == kind
            weight = snapshot.event_weights.get(name, EventWeight())
            if weight.half_life_days is None:
                weights[of_kind] = weight.weight
            else:
                ages = (events.now_ms - events.times_ms[of_kind]).tolist()
                weights[of_kind] = [weight.at_age(age) for age in ages]
        there = items >= 0
        there[there] = ~self._is_seen(user_rows[events.users[there]], items[there])
        users, items, weights = events.users[there], items[there], weights[there]
        # Of several types of one pair the strongest counts.
        order = np.lexsort((weights, items, users))
        users, items, weights = users[order], items[order], weights[order]
        strongest = np.ones(len(users), np.bool_)
        strongest[:-1] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
        strongest &= weights > 0
        return users[strongest], items[strongest], weights[strongest]

    def _is_seen(
        self, user_rows: NDArray[np.int64], item_rows: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether the version has learned of each pair; nobody (-1) has seen anything."""
        artifact = self._snapshot.artifact
        num_items = np.int64(len(artifact.items))
        mine = np.unique(user_rows[user_rows >= 0])
        counts = np.diff(artifact.seen_indptr)[mine]
        begins = np.repeat(artifact.seen_indptr[mine] - (np.cumsum(counts) - counts), counts)
        learned = artifact.seen_indices[begins + np.arange(len(begins))]
        keys = np.repeat(mine, counts) * num_items + learned
        return np.isin(user_rows * num_items + item_rows, keys)

    def search(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """See `training.gate.serving.Served`."""
        found, seconds = [], []
        for query in queries:
            start = time.perf_counter()
            _, rows = self._snapshot.index.search(query[None, :], k)
            seconds.append(time.perf_counter() - start)
            found.append(rows)
        return np.concatenate(found) if found else np.zeros((0, k), np.int64), np.array(seconds)


def _rows(known: Mapping[str, int], names: Sequence[str]) -> NDArray[np.int64]:
    """The rows of ids [n]; -1 for those that are not known."""
    return np.fromiter((known.get(name, -1) for name in names), np.int64, len(names))

"""Versions as the service would serve them, for the gate of the trainer."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from service.artifact import Artifact
    from training.gate.serving import UserEvents


class AsServed:
    """A version with the service's own index and its own rule of moving users' vectors."""

    def __init__(self, artifact: "Artifact") -> None:
        """Build the index.

        Raises:
            ArtifactCorrupt: The artifact cannot be served.
        """
        from service.snapshot import build_snapshot

        self._snapshot = build_snapshot(artifact, "cpu")

    def queries(self, users: Sequence["UserEvents"], now_ms: int) -> NDArray[np.float32]:
        """See `training.gate.serving.Served`."""
        from service.recommend import view_user
        from service.store.client import HistoryItem

        vectors = np.zeros((len(users), self._snapshot.artifact.users.shape[1]), np.float32)
        for row, user in enumerate(users):
            history = [
                HistoryItem(item_id, True, max(types.values()), types)
                for item_id, types in user.items.items()
            ]
            view = view_user(
                self._snapshot, user.user_id, history, exclude_seen=False, now_ms=now_ms
            )
            if view.query is not None:
                vectors[row] = view.query
        return vectors

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

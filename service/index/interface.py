"""What the service asks of an index."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class ItemIndex(Protocol):
    """Finds the items with the greatest inner product; safe to search from several threads."""

    @property
    def num_items(self) -> int:
        """I, the number of items."""
        ...

    def search(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The best items of each query.

        Args:
            queries: [n, D] float32.
            k: how many, at least 1; more than there are items means all of them.

        Returns:
            scores [n, min(k, I)] float32, falling, and item rows [n, min(k, I)] int64.
        """
        ...


def search_excluding(
    index: ItemIndex, query: NDArray[np.float32], k: int, excluded: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The best items of one query that are not excluded.

    Fetches ``k + len(excluded)`` and drops: exact, on a flat index as fast as asking for k, and
    right on a GPU too, whose indexes ignore selectors.

    Args:
        index: where to search.
        query: [D] float32.
        k: how many, at least 1.
        excluded: distinct item rows.

    Returns:
        scores [m] float32, falling, and item rows [m] int64; m < k only when no other item is left.
    """
    scores, rows = index.search(query[None, :], k + len(excluded))
    kept = np.isin(rows[0], excluded, assume_unique=True, invert=True)
    return scores[0][kept][:k], rows[0][kept][:k]

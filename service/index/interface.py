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

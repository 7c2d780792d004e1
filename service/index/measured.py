"""An index whose searches are timed, whoever asks."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.index.interface import ItemIndex


class MeasuredIndex:
    """Searches another index and tells how long each search took."""

    def __init__(self, index: ItemIndex, observe: Callable[[float], None]) -> None:
        """Wraps `index`.

        Args:
            index: where to search.
            observe: called with the seconds of every search.
        """
        self._index = index
        self._observe = observe

    @property
    def num_items(self) -> int:
        """I, the number of items."""
        return self._index.num_items

    def search(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See `ItemIndex.search`."""
        start = time.perf_counter()
        found = self._index.search(queries, k)
        self._observe(time.perf_counter() - start)
        return found

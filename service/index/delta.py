"""An index with a few items added to it."""

import numpy as np
from numpy.typing import NDArray

from service.index.flat import FlatCpuIndex
from service.index.interface import ItemIndex


class DeltaIndex:
    """Another index and some more items, exact if the other is.

    The added items are few and are all scored; building it costs nothing, so it can be built anew
    with every item that comes.
    """

    def __init__(self, base: ItemIndex, added: NDArray[np.float32]) -> None:
        """Takes over both.

        Args:
            base: the index of I items.
            added: [n, D] float32, of rows I to I + n - 1.
        """
        self._base = base
        self._added = FlatCpuIndex(added)

    @property
    def num_items(self) -> int:
        """The number of items, added ones included."""
        return self._base.num_items + self._added.num_items

    def search(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See `ItemIndex.search`."""
        found, rows = self._base.search(queries, k)
        found_added, numbers = self._added.search(queries, k)
        scores = np.concatenate([found, found_added], axis=1)
        rows = np.concatenate([rows, self._base.num_items + numbers], axis=1)
        # Stable: of equal scores the known item comes first.
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)

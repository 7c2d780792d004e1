"""Exact search of a small catalog for several queries at once, by products of matrices."""

import numpy as np
from numpy.typing import NDArray

from service.index.flat import FlatCpuIndex
from service.index.interface import ItemIndex

MIN_ITEMS = 2000
MAX_BYTES = 16 << 20
MIN_QUERIES = 8
"""Fewer are quicker one by one in a service, whose other work drives the copy out of caches."""
MAX_K = 1024

_BLOCK_ITEMS = 1 << 14
_GROUPS_PER_RESULT = 8


def exact_index(items: NDArray[np.float32]) -> ItemIndex:
    """Search that scores every item [I, D] float32 on the CPU, as quick as the size allows."""
    if is_kept_transposed(len(items), items.nbytes):
        return TransposedIndex(items)
    return FlatCpuIndex(items)


def is_kept_transposed(num_items: int, num_bytes: int) -> bool:
    """Whether a process keeps the vectors of a catalog a second time, transposed."""
    return num_items >= MIN_ITEMS and num_bytes <= MAX_BYTES


class TransposedIndex:
    """Inner products with all items, for catalogs small enough to be kept twice.

    BLAS reorders the items with every product unless they lie column by column, which takes half of
    the time of a few queries; so does FAISS' choice of the best ones. `FlatCpuIndex` answers single
    queries, and whoever wants more than `MAX_K`.
    """

    def __init__(self, items: NDArray[np.float32]) -> None:
        """Copies the items [I, D] float32, which must not change."""
        self._flat = FlatCpuIndex(items)
        self._columns = np.ascontiguousarray(items.T)

    @property
    def num_items(self) -> int:
        """I, the number of items."""
        return self._flat.num_items

    def search(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See `ItemIndex.search`."""
        k = min(k, self.num_items)
        if len(queries) < MIN_QUERIES or k > MAX_K:
            return self._flat.search(queries, k)
        return best_products(queries, self._columns, k)


def best_products(
    queries: NDArray[np.float32], columns: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The best items of each query; of equal scores the earlier item comes first.

    One product scores a block of items for all queries. What is below a bound that k scores of a
    query reach for certain is dropped before anything is sorted.

    Args:
        queries: [n, D], at least one.
        columns: [D, I], the items.
        k: how many, from 1 to I.

    Returns:
        scores [n, k] float32, falling, and item rows [n, k] int64.
    """
    numbers = np.arange(len(queries))
    scores: NDArray[np.float32] = np.zeros((len(queries), 0), np.float32)
    rows = np.zeros(scores.shape, np.int64)
    block = max(_BLOCK_ITEMS, k)
    for start in range(0, columns.shape[1], block):
        found = queries @ columns[:, start : start + block]  # [n, b]
        bound = scores[:, -1] if start else _reached(found, k)
        places = np.flatnonzero(found >= bound[:, None])
        of, within = np.divmod(places, found.shape[1])
        of = np.concatenate([np.repeat(numbers, scores.shape[1]), of])
        all_scores = np.concatenate([scores.ravel(), found.ravel()[places]])
        all_rows = np.concatenate([rows.ravel(), start + within])
        order = np.lexsort((-all_scores, of))
        firsts = np.searchsorted(of[order], numbers)
        best = order[firsts[:, None] + np.arange(k)]  # [n, k]
        scores, rows = all_scores[best], all_rows[best]
    return scores, rows


def _reached(found: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """A bound [n] that at least k of the scores [n, b] of each query reach, and few others.

    The greatest score of a group is one of the scores, so k groups' reach the k-th of them.
    """
    num_groups = min(_GROUPS_PER_RESULT * k, found.shape[1])
    size = found.shape[1] // num_groups
    groups = found[:, : size * num_groups].reshape(len(found), size, num_groups)
    greatest: NDArray[np.float32] = groups.max(axis=1)
    return np.partition(greatest, num_groups - k, axis=1)[:, num_groups - k]

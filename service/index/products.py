"""Exact search of a small catalog for several queries at once, by products of matrices."""

import numpy as np
from numpy.typing import NDArray

from service.index.flat import FlatCpuIndex
from service.index.interface import ItemIndex

MIN_ITEMS = 2000
MAX_BYTES = 16 << 20
MIN_QUERIES = 4
"""Fewer are quicker one by one where there is no AVX-512."""
MAX_K = 1024

BLOCK_ITEMS = 64
"""Items that one product scores: some dozen queries by so few is what BLAS calls a small matrix.

With AVX-512 it multiplies those where they lie, and takes two thirds of the time it needs for 32
queries and all items, and less than half of that for 8; without AVX-512 it hardly matters.
"""

_BLOCKS_AT_ONCE = 256
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

    BLAS reorders the items with every product unless they lie column by column, in blocks, which
    takes half of the time of a few queries; so does FAISS' choice of the best ones. `FlatCpuIndex`
    answers single queries, and whoever wants more than `MAX_K`.
    """

    def __init__(self, items: NDArray[np.float32]) -> None:
        """Copies the items [I, D] float32, which must not change."""
        self._flat = FlatCpuIndex(items)
        self._blocks = in_blocks(items)

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
        return best_products(queries, self._blocks, self.num_items, k)


def in_blocks(items: NDArray[np.float32]) -> NDArray[np.float32]:
    """Items [I, D] as blocks [B, D, `BLOCK_ITEMS`], the last one filled up with zeros."""
    num_items, width = items.shape
    blocks = np.zeros((-(-num_items // BLOCK_ITEMS), width, BLOCK_ITEMS), np.float32)
    for number, block in enumerate(blocks):
        own = items[number * BLOCK_ITEMS : (number + 1) * BLOCK_ITEMS]
        block[:, : len(own)] = own.T
    return blocks


def best_products(
    queries: NDArray[np.float32], blocks: NDArray[np.float32], num_items: int, k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The best items of each query; of equal scores the earlier item comes first.

    What is below a bound that k scores of a query reach for certain is dropped before anything is
    sorted.

    Args:
        queries: [n, D], at least one.
        blocks: [B, D, b], the items as `in_blocks` lays them.
        num_items: I.
        k: how many, from 1 to I.

    Returns:
        scores [n, k] float32, falling, and item rows [n, k] int64.
    """
    numbers = np.arange(len(queries))
    scores: NDArray[np.float32] = np.zeros((len(queries), 0), np.float32)
    rows = np.zeros(scores.shape, np.int64)
    size = blocks.shape[2]
    at_once = max(_BLOCKS_AT_ONCE, -(-k // size))
    for start in range(0, len(blocks), at_once):
        found = queries @ blocks[start : start + at_once]  # [c, n, b]
        if start + len(found) == len(blocks):
            found[-1, :, num_items - (len(blocks) - 1) * size :] = -np.inf
        bound = scores[:, -1] if start else _reached(found, k)
        places = np.flatnonzero(found >= bound[:, None])
        block, place = np.divmod(places, len(queries) * size)
        of, within = np.divmod(place, size)
        of = np.concatenate([np.repeat(numbers, scores.shape[1]), of])
        all_scores = np.concatenate([scores.ravel(), found.ravel()[places]])
        all_rows = np.concatenate([rows.ravel(), (start + block) * size + within])
        order = np.lexsort((-all_scores, of))
        firsts = np.searchsorted(of[order], numbers)
        best = order[firsts[:, None] + np.arange(k)]  # [n, k]
        scores, rows = all_scores[best], all_rows[best]
    return scores, rows


def _reached(found: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """A bound [n] that at least k of the scores [c, n, b] of each query reach, and few others.

    The greatest score of a group is one of the scores, so k groups' reach the k-th of them.
    """
    num_blocks, num_queries, size = found.shape
    num_parts = min(-(-_GROUPS_PER_RESULT * k // size), num_blocks)
    of_part = num_blocks // num_parts
    parts = found[: num_parts * of_part].reshape(num_parts, of_part, num_queries, size)
    greatest: NDArray[np.float32] = parts.max(axis=1).transpose(1, 0, 2).reshape(num_queries, -1)
    return np.partition(greatest, -k, axis=1)[:, -k]

"""Exact search with FAISS: every item is scored."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

GPU_MAX_K = 2048
BLAS_QUERIES = 6
"""From how many queries at once BLAS pays."""


class FlatCpuIndex:
    """Inner products with all items on the CPU, one thread per search.

    The items are searched where they lie: mapped from the artifact, all processes share one copy.
    """

    def __init__(self, items: NDArray[np.float32]) -> None:
        """Keeps the items [I, D] float32, which must not change; rows in C order are not copied."""
        self._items = np.ascontiguousarray(items)
        # Fewer queries are quicker one by one than BLAS is, which reorders the items every time.
        faiss.cvar.distance_compute_blas_threshold = BLAS_QUERIES * items.shape[1]

    @property
    def num_items(self) -> int:
        """I, the number of items."""
        return len(self._items)

    def search(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See `ItemIndex.search`."""
        # The number of OpenMP threads belongs to the calling thread; more than one makes a single
        # query slower.
        faiss.omp_set_num_threads(1)
        scores, rows = faiss.knn(
            queries, self._items, min(k, self.num_items), metric=faiss.METRIC_INNER_PRODUCT
        )
        return scores, rows


class FlatGpuIndex:
    """Inner products with all items on one GPU.

    GPU indexes may not be searched by two threads at once, so one thread does all searches. They
    ignore what they are told to leave out, so callers ask for more and drop it.
    """

    # Any: FAISS has no type annotations.
    def __init__(
        self,
        items: NDArray[np.float32],
        to_gpu: Callable[[NDArray[np.float32]], tuple[Any, Any]] | None = None,
    ) -> None:
        """Copies the items to the GPU.

        Args:
            items: [I, D] float32.
            to_gpu: makes what must be kept and the index; FAISS' own unless given.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gpu-search")
        self._cpu = FlatCpuIndex(items)
        self._resources, self._index = self._thread.submit(to_gpu or _to_gpu, items).result()

    @property
    def num_items(self) -> int:
        """I, the number of items."""
        return self._cpu.num_items

    def search(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See `ItemIndex.search`; beyond the GPU's 2,048 results the CPU answers."""
        k = min(k, self.num_items)
        if k > GPU_MAX_K:
            return self._cpu.search(queries, k)
        search: Callable[..., tuple[NDArray[np.float32], NDArray[np.int64]]] = self._index.search
        return self._thread.submit(search, queries, k).result()


# Any: FAISS has no type annotations.
def _to_gpu(items: NDArray[np.float32]) -> tuple[Any, Any]:
    resources = faiss.StandardGpuResources()
    index = faiss.GpuIndexFlatIP(resources, items.shape[1])
    index.add(np.ascontiguousarray(items))
    return resources, index

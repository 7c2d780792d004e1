"""Inverted lists: items in cells by nearness, of which a query looks into the most promising."""

from pathlib import Path
from typing import Any, TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from service.index.flat import FlatCpuIndex

# Any: FAISS has no type annotations.
FaissIndex: TypeAlias = Any

_SEED = 1
_ROUNDS = 8
_POINTS_PER_CELL = 40
_CELLS_PER_ROOT = 4.0
_MIN_CELL_ITEMS = 32
_CHUNK_ROWS = 1 << 16
_MIN_SPARE = 16
MEASURED_K = 50
"""How many results recall is measured for: what a usual list needs, and what its user has."""


class IvfCpuIndex:
    """Looks into `num_probes` of the cells; who wants more than usual gets more cells looked into.

    The cells hold the items in eight bits per number. What they find is scored again by the items
    themselves, so scores are exact, and what is missing is what lay in other cells. Exact search
    answers where the cells cannot give enough.
    """

    def __init__(self, items: NDArray[np.float32], cells: FaissIndex, num_probes: int) -> None:
        """Wraps what `build_cells` or `read_cells` made.

        Args:
            items: [I, D] float32 that the cells hold.
            cells: the inverted lists.
            num_probes: how many of them a query looks into.
        """
        self.num_probes = num_probes
        self._items = items
        self._cells = cells
        self._flat = FlatCpuIndex(items)

    @property
    def num_items(self) -> int:
        """I, the number of items."""
        return self._flat.num_items

    @property
    def num_cells(self) -> int:
        """How many lists there are."""
        return int(self._cells.nlist)

    def search(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See `ItemIndex.search`; as good as `num_probes` makes it."""
        k = min(k, self.num_items)
        probes = self.num_probes * max(1, -(-k // MEASURED_K))
        if 2 * probes > self.num_cells > self.num_probes:
            return self._flat.search(queries, k)
        faiss.omp_set_num_threads(1)
        parameters: FaissIndex = faiss.IVFSearchParameters()
        parameters.nprobe = probes
        wanted = min(k + max(_MIN_SPARE, k // 4), self.num_items)
        rows = self._cells.search(np.ascontiguousarray(queries), wanted, params=parameters)[1]
        # A row of -1 stands where the cells had no more items.
        short = np.flatnonzero(rows[:, k - 1] < 0)
        scores = np.matmul(self._items[rows], queries[:, :, None])[:, :, 0]  # [n, wanted]
        scores[rows < 0] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
        if len(short):
            scores[short], rows[short] = self._flat.search(queries[short], k)
        return scores, rows


def build_cells(items: NDArray[np.float32]) -> FaissIndex:
    """Sorts items [I, D] into about 4 sqrt(I) cells; equal items make equal cells.

    Cells are those of the nearest centres, which keeps them of similar size. A query looks for the
    centres with the greatest inner product, which is what its items are searched by.
    """
    width = items.shape[1]
    num_cells = int(np.clip(_CELLS_PER_ROOT * np.sqrt(len(items)), 1, len(items) / _MIN_CELL_ITEMS))
    num_cells = max(1, num_cells)
    rng = np.random.default_rng(_SEED)
    sampled = min(len(items), num_cells * _POINTS_PER_CELL)
    sample = np.ascontiguousarray(items[np.sort(rng.choice(len(items), sampled, replace=False))])
    faiss.omp_set_num_threads(1)
    means: FaissIndex = faiss.Kmeans(
        width,
        num_cells,
        niter=_ROUNDS,
        seed=_SEED,
        min_points_per_centroid=1,
        max_points_per_centroid=_POINTS_PER_CELL,
    )
    means.train(sample)
    nearest = faiss.IndexFlatL2(width)
    nearest.add(means.centroids)
    quantizer: FaissIndex = faiss.IndexFlatIP(width)
    quantizer.add(means.centroids)
    cells = faiss.IndexIVFScalarQuantizer(
        quantizer,
        width,
        num_cells,
        faiss.ScalarQuantizer.QT_8bit,
        faiss.METRIC_INNER_PRODUCT,
        False,  # what is kept are the items, not how they differ from the centres
    )
    cells.own_fields = True
    quantizer.this.disown()
    cells.train(sample)  # the range of every column: the centres are there already
    for start in range(0, len(items), _CHUNK_ROWS):
        chunk = np.ascontiguousarray(items[start : start + _CHUNK_ROWS])
        assigned = np.ascontiguousarray(nearest.search(chunk, 1)[1][:, 0])
        cells.add_core(len(chunk), faiss.swig_ptr(chunk), None, faiss.swig_ptr(assigned))
    return cells


def write_cells(cells: FaissIndex, path: Path) -> None:
    """Writes them to a file; the caller makes that whole."""
    faiss.write_index(cells, str(path))


def read_cells(path: Path) -> FaissIndex:
    """Maps them from a file, so that all processes share one copy.

    Raises:
        RuntimeError: the file is none of FAISS'.
    """
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)

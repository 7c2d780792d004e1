"""Whether inverted lists pay, measured once per version and kept beside it."""

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from service.index.interface import ItemIndex
from service.index.ivf import (
    MEASURED_K,
    FaissIndex,
    IvfCpuIndex,
    build_cells,
    read_cells,
    write_cells,
)
from service.index.products import exact_index
from service.kept import keep

logger = logging.getLogger(__name__)

EXACT_S = 0.001
"""An exact search that takes less is not worth replacing."""

_SAMPLED_USERS = 128
_TIMED = 7
_PAYS = 0.5


@dataclass(frozen=True)
class Measured:
    """What was found of a version.

    Attributes:
        recall: that was asked for.
        found: the recall reached, over users of the version.
        num_probes: cells to look into, for that recall.
        exact_s: seconds of one exact search.
        cells_s: seconds of one search of the cells.
    """

    recall: float
    found: float
    num_probes: int
    exact_s: float
    cells_s: float

    @property
    def pays(self) -> bool:
        """Whether the cells are worth it: they must be twice as fast."""
        return self.cells_s < _PAYS * self.exact_s


def choose_index(
    items: NDArray[np.float32],
    users: NDArray[np.float32],
    kept: Path,
    *,
    recall: float,
    always: bool = False,
) -> ItemIndex:
    """Exact search, or inverted lists where they are at least twice as fast.

    What was built and measured is written beside the version, so that a restart and other workers
    find it, and all of them decide alike.

    Args:
        items: [I, D] float32.
        users: [U, D] float32, whose searches are measured.
        kept: where the index is kept, without an ending.
        recall: the share of the exact results that must be found; 1 means exact search.
        always: use inverted lists even if they do not pay.
    """
    exact = exact_index(items)
    queries = _queries(users)
    if recall >= 1.0 or not len(queries):
        return exact
    if not always and _seconds(exact, queries) < EXACT_S:
        return exact
    with _alone(kept):
        known = _read(kept, items, recall)
        if known is None:
            cells = build_cells(items)
            measured = _measure(exact, items, cells, queries, recall)
            cells = _keep(kept, cells, measured)
            logger.info("measured index of %s: %s", kept.name, json.dumps(asdict(measured)))
        else:
            cells, measured = known
    if always or measured.pays:
        return IvfCpuIndex(items, cells, measured.num_probes)
    return exact


def _queries(users: NDArray[np.float32]) -> NDArray[np.float32]:
    sample = np.array(users[:: max(1, len(users) // _SAMPLED_USERS)][:_SAMPLED_USERS])
    return sample[sample.any(axis=1)]


def _measure(
    exact: ItemIndex,
    items: NDArray[np.float32],
    cells: FaissIndex,
    queries: NDArray[np.float32],
    recall: float,
) -> Measured:
    """The fewest probes that leave out half of what may be left out: other users differ."""
    wanted = (1.0 + recall) / 2
    _, expected = exact.search(queries, MEASURED_K)

    def reached(num_probes: int) -> float:
        _, rows = IvfCpuIndex(items, cells, num_probes).search(queries, MEASURED_K)
        pairs = zip(rows, expected, strict=True)
        return float(np.mean([np.isin(best, own).mean() for own, best in pairs]))

    low, high = 0, 1
    while high < cells.nlist and reached(high) < wanted:
        low, high = high, min(2 * high, cells.nlist)
    while high - low > max(1, low // 8):
        middle = (low + high) // 2
        if reached(middle) < wanted:
            low = middle
        else:
            high = middle
    index = IvfCpuIndex(items, cells, high)
    return Measured(recall, reached(high), high, _seconds(exact, queries), _seconds(index, queries))


def _seconds(index: ItemIndex, queries: NDArray[np.float32]) -> float:
    """Of the quickest of some single searches: others may have been busy."""
    seconds = []
    for query in queries[:_TIMED]:
        start = time.perf_counter()
        index.search(query[None, :], MEASURED_K)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _read(
    kept: Path, items: NDArray[np.float32], recall: float
) -> tuple[FaissIndex, Measured] | None:
    """What was kept, None where nothing fits: damage costs time and nothing else."""
    try:
        measured = Measured(**json.loads(_facts(kept).read_text(encoding="utf-8")))
        cells = read_cells(_lists(kept))
    except (OSError, ValueError, TypeError, RuntimeError):
        return None
    fits = (cells.ntotal, cells.d, measured.recall) == (*items.shape, recall)
    return (cells, measured) if fits else None


def _keep(kept: Path, cells: FaissIndex, measured: Measured) -> FaissIndex:
    """Writes both whole, and maps the lists; in memory they stay where nothing can be written."""
    try:
        keep(_lists(kept), lambda place: write_cells(cells, place))
        keep(_facts(kept), lambda place: place.write_text(json.dumps(asdict(measured))))
        return read_cells(_lists(kept))
    except (OSError, RuntimeError) as error:
        logger.warning("the index is not kept: %s; every worker builds its own", error)
        return cells


@contextmanager
def _alone(kept: Path) -> Iterator[None]:
    """While one process builds, the others wait for what it keeps."""
    lock = None
    with suppress(OSError):  # a folder that cannot be written: nothing is shared then
        kept.parent.mkdir(exist_ok=True)
        lock = os.open(kept.parent, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _facts(kept: Path) -> Path:
    return kept.with_name(f"{kept.name}.json")


def _lists(kept: Path) -> Path:
    return kept.with_name(f"{kept.name}.{faiss.__version__}.cells")

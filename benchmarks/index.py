"""Exact search against inverted lists, by the size of the catalog and the recall asked for.

python -m benchmarks.index --items 10000 100000 --recall 0.95 0.99
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.load.catalog import CATALOG, WIDTH, write_catalog
from benchmarks.rows import Row, machine, spread_row, write_rows
from service.artifact import load_artifact
from service.index import ItemIndex, index_of

K = 20
BATCH = 32
ROUNDS = 5
USERS = 2000
ASKED = 512


def main() -> None:
    """Measure and write `results/index.json`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--recall", type=float, nargs="+", default=[0.95, 0.99])
    arguments = parser.parse_args()
    for num_items in arguments.items:
        write_rows("index", measure(num_items, arguments.recall))


def measure(num_items: int, recalls: Sequence[float]) -> list[Row]:
    """Rows of a catalog of that size: users who are asked for are not those it was tuned with."""
    with tempfile.TemporaryDirectory(prefix="index-") as folder:
        root = Path(folder)
        artifact = load_artifact(root, CATALOG, write_catalog(root, num_items, USERS))
        # Every other user, so that tuning, which takes some from the start on, sees few of them.
        queries = np.array(artifact.users[1::2][:ASKED])
        exact = index_of(artifact, "cpu", 1.0)
        _, expected = exact.search(queries, K)
        rows = []
        for recall in recalls:
            start = time.process_time()
            lists = index_of(artifact, "ivf", recall)
            built_s = time.process_time() - start
            setting = f"recall {recall:g}"
            _, found = lists.search(queries, K)
            reached = [
                float(np.isin(best, own).mean()) for own, best in zip(found, expected, strict=True)
            ]
            rows += [
                _row(num_items, setting, f"recall@{K}", [float(np.mean(reached))]),
                _row(num_items, setting, "build_processor_seconds", [built_s]),
            ]
            for name, size in (("one query", 1), (f"{BATCH} queries at once", BATCH)):
                ratios = _ratios(exact, lists, queries, size)
                rows.append(_row(num_items, f"{setting}, {name}", "speed_over_exact", ratios))
        return rows


def _ratios(
    exact: ItemIndex, lists: ItemIndex, queries: NDArray[np.float32], size: int
) -> list[float]:
    """Processor time of exact search over that of the lists, in turns."""
    batch = queries[:size]
    pairs = [
        (_seconds(lambda: exact.search(batch, K)), _seconds(lambda: lists.search(batch, K)))
        for _ in range(ROUNDS)
    ]
    return [of_exact / of_lists for of_exact, of_lists in pairs]


def _seconds(work: Callable[[], object]) -> float:
    work()
    count, start = 0, time.process_time()
    while time.process_time() - start < 0.2:
        work()
        count += 1
    return (time.process_time() - start) / count


def _row(num_items: int, setting: str, metric: str, values: Sequence[float]) -> Row:
    spread = (float(np.median(values)), min(values), max(values))
    dataset = f"synthetic-{USERS}-{num_items}"
    return spread_row(
        "index", dataset, "ivf", f"{setting}, {WIDTH} numbers, {machine()}", metric, spread
    )


if __name__ == "__main__":
    main()

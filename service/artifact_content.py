"""Optional contents of an artifact: interactions per item and day, and the modalities' vectors."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.errors import ArtifactCorrupt

DAY_MS = 86_400_000


@dataclass(frozen=True, eq=False)
class DailyCounts:
    """How much happened to each item on each day; days without anything are not listed.

    Attributes:
        days: [n] int32 days since 1970-01-01, UTC.
        item_rows: [n] int32.
        counts: [n] float32, above 0: positive events by the weight of their type.
    """

    days: NDArray[np.int32]
    item_rows: NDArray[np.int32]
    counts: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        timestamps: NDArray[np.int64],
        item_rows: NDArray[np.int64],
        weights: NDArray[np.float32],
    ) -> "DailyCounts":
        """Adds up events; those without a time or weight are left out.

        Args:
            timestamps: [e] epoch ms, 0 for unknown.
            item_rows: [e].
            weights: [e], at least 0.
        """
        kept = (timestamps > 0) & (weights > 0)
        days, rows = timestamps[kept] // DAY_MS, item_rows[kept]
        width = int(rows.max(initial=0)) + 1
        keys, places = np.unique(days * width + rows, return_inverse=True)
        counts = np.bincount(places, weights[kept], minlength=len(keys)).astype(np.float32)
        return cls((keys // width).astype(np.int32), (keys % width).astype(np.int32), counts)


def check_daily(daily: DailyCounts, num_items: int) -> None:
    """Checks dtypes, lengths and ranges. Raises ArtifactCorrupt."""
    expected = {"days": np.int32, "item_rows": np.int32, "counts": np.float32}
    for name, dtype in expected.items():
        array = getattr(daily, name)
        if array.dtype != np.dtype(dtype) or array.shape != daily.days.shape or array.ndim != 1:
            raise ArtifactCorrupt(
                f"popularity.{name} has dtype {array.dtype} and shape {array.shape}, expected"
                f" {np.dtype(dtype)} and {daily.days.shape}"
            )
    rows, counts = daily.item_rows, daily.counts
    if len(rows) and not (rows.min() >= 0 and rows.max() < num_items):
        raise ArtifactCorrupt(
            f"popularity.item_rows must lie in 0..{num_items - 1}, got {rows.min()}..{rows.max()}"
        )
    if not (np.isfinite(counts) & (counts > 0)).all():
        raise ArtifactCorrupt("popularity.counts must be finite and above 0")


def check_features(features: Mapping[str, NDArray[np.float32]], num_items: int) -> None:
    """Checks dtypes, shapes and finiteness. Raises ArtifactCorrupt."""
    for name, matrix in features.items():
        if matrix.dtype != np.float32 or matrix.ndim != 2 or len(matrix) != num_items:
            raise ArtifactCorrupt(
                f"features.{name} has dtype {matrix.dtype} and shape {matrix.shape}, expected"
                f" float32 and {num_items} rows"
            )
        # The sum of a row is finite only if all of it is, and needs no copy of the matrix.
        if not np.isfinite(matrix.sum(axis=1, dtype=np.float64)).all():
            raise ArtifactCorrupt(f"features.{name} holds NaN or infinity; missing rows are zero")

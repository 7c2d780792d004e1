"""Intervals over pairs of a manager and a quarter, drawn alike for every model."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.funds.holdings import Flags, Floats

Spread = tuple[float, float, float]
"""A value and the ends of its 95 % interval."""


class Sample:
    """The counted pairs of a manager and a quarter, and bootstrap draws of them.

    A figure is the mean over quarters of the mean over managers. A draw takes as many managers
    of each quarter as count there, with replacement; two models are compared on the same draws.

    Args:
        counted: Which pairs count, bool [quarters, funds].
        draws: Number of draws.
        seed: Seed of the draws.
    """

    def __init__(self, counted: Flags, draws: int = 2000, seed: int = 0) -> None:
        self.counted = counted
        self.draws = draws
        self.seed = seed
        self.shares = counted / counted.sum(1, keepdims=True).clip(1) / max(counted.any(1).sum(), 1)

    @cached_property
    def drawn(self) -> NDArray[np.float32]:
        """Weight of every pair in every draw, [draws, quarters * funds]."""
        rng = np.random.default_rng(self.seed)
        parts = [
            rng.multinomial(row.sum(), row / max(row.sum(), 1), size=self.draws) / max(row.sum(), 1)
            if row.any()
            else np.zeros((self.draws, len(row)))
            for row in self.counted
        ]
        weights = np.concatenate(parts, axis=1) / max(self.counted.any(1).sum(), 1)
        drawn: NDArray[np.float32] = weights.astype(np.float32)
        return drawn

    def mean(self, values: Floats) -> float:
        """Return the mean of values [quarters, funds] over quarters of the mean over managers."""
        return float((np.where(self.counted, values, 0.0) * self.shares).sum())

    def spread(self, values: Floats) -> Spread:
        """Return the mean and its interval."""
        low, high = np.quantile(self._means(values), [0.025, 0.975])
        return self.mean(values), float(low), float(high)

    def lift(self, values: Floats, baseline: Floats) -> Spread:
        """Return by how many percent the mean is above that of a baseline, and its interval."""
        change = 100 * (self.mean(values) / self.mean(baseline) - 1)
        drawn = 100 * (self._means(values) / self._means(baseline) - 1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        return change, float(low), float(high)

    def _means(self, values: Floats) -> Floats:
        flat = np.where(self.counted, values, 0.0).ravel()
        means: Floats = self.drawn.astype(np.float64) @ flat
        return means

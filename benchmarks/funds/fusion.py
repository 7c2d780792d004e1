"""One ranking out of several: a weighted sum of z-scores, as the project's ensembles score."""

from collections.abc import Sequence

import numpy as np

from benchmarks.funds.holdings import Floats, Holdings
from training.likelihood import Lesson


def zscored(scores: Floats) -> Floats:
    """Scale the scores of every fund to mean 0 and deviation 1 over all companies.

    As `training.ensemble.zscored` does for vectors; scores that are all equal become 0.
    """
    centred = scores - scores.mean(1, keepdims=True)
    deviation = centred.std(1, keepdims=True)
    scaled: Floats = centred / np.where(deviation > 1e-12, deviation, 1.0)
    return scaled


def lesson(holdings: Holdings, quarter: int, members: Sequence[Floats]) -> Lesson:
    """Return what a quarter tells, given the members' z-scores [funds, companies] for it.

    Users are funds that newly held something, free is what a fund had never held.
    """
    truth = holdings.truth(quarter)
    funds = truth.any(1)
    return Lesson(
        np.stack([member[funds] for member in members]).astype(np.float32),
        np.logical_not(holdings.past(quarter)[:, funds].any(0)),
        truth[funds] / truth[funds].sum(1, keepdims=True),
    )


def fused(members: Sequence[Floats], weights: Floats | None = None) -> Floats:
    """Return the weighted sum of the members' z-scores; without weights their mean."""
    if weights is None:
        weights = np.full(len(members), 1 / len(members))
    return np.asarray(np.einsum("m,mfc->fc", weights, np.stack(members)), dtype=np.float64)

"""One ranking out of several: a weighted sum of z-scores, as the project's ensembles score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.funds.holdings import Flags, Floats, Holdings

PENALTY = 1e-3
"""Weight of the squared distance of the members' weights from equal ones."""


@dataclass(frozen=True)
class Lesson:
    """What a past quarter tells about weights; rows are funds that newly held something.

    Args:
        members: z-scores of the members, float32 [members, funds, companies].
        free: Companies that a fund had never held, bool [funds, companies].
        wanted: Each fund's newly held companies, summing to 1, [funds, companies].
    """

    members: NDArray[np.float32]
    free: Flags
    wanted: Floats


def zscored(scores: Floats) -> Floats:
    """Scale the scores of every fund to mean 0 and deviation 1 over all companies.

    As `training.ensemble.zscored` does for vectors; scores that are all equal become 0.
    """
    centred = scores - scores.mean(1, keepdims=True)
    deviation = centred.std(1, keepdims=True)
    scaled: Floats = centred / np.where(deviation > 1e-12, deviation, 1.0)
    return scaled


def lesson(holdings: Holdings, quarter: int, members: Sequence[Floats]) -> Lesson:
    """Return what a quarter tells, given the members' z-scores [funds, companies] for it."""
    truth = holdings.truth(quarter)
    funds = truth.any(1)
    return Lesson(
        np.stack([member[funds] for member in members]).astype(np.float32),
        np.logical_not(holdings.past(quarter)[:, funds].any(0)),
        truth[funds] / truth[funds].sum(1, keepdims=True),
    )


def choose_weights(lessons: Sequence[Lesson], penalty: float = PENALTY) -> Floats:
    """Choose the members' weights, none negative, by the likelihood of what was newly held.

    A fund's next company is drawn from those it never held with probability softmax(weighted sum
    of z-scores); every fund and quarter counts alike. Unlike the metrics of the first places,
    which `mutualrec ensemble` climbs on, this has one maximum and uses all of a list, so some
    hundred new positions suffice.
    """
    count = len(lessons[0].members)
    funds = sum(len(part.wanted) for part in lessons)

    def loss(weights: Floats) -> tuple[float, Floats]:
        even = weights - weights.mean()
        value, slope = penalty * funds * float(even @ even), 2 * penalty * funds * even
        for part in lessons:
            added, slopes = _surprise(weights, part)
            value, slope = value + added, slope + slopes
        return value / funds, slope / funds

    found = minimize(loss, np.full(count, 1 / count), jac=True, bounds=[(0.0, None)] * count)
    weights: Floats = found.x
    return weights


def _surprise(weights: Floats, part: Lesson) -> tuple[float, Floats]:
    """Return the negative log-likelihood of a lesson and its gradient."""
    logits = np.einsum("m,mfc->fc", weights.astype(np.float32), part.members)
    logits = np.where(part.free, logits, -np.inf)
    logits -= logits.max(1, keepdims=True)
    chances = np.exp(logits)
    totals = chances.sum(1, keepdims=True)
    drawn = np.where(part.wanted > 0, logits - np.log(totals), 0.0)
    wrong = (chances / totals - part.wanted).astype(np.float32)
    return -float((part.wanted * drawn).sum()), np.einsum("mfc,fc->m", part.members, wrong)


def fused(members: Sequence[Floats], weights: Floats | None = None) -> Floats:
    """Return the weighted sum of the members' z-scores; without weights their mean."""
    if weights is None:
        weights = np.full(len(members), 1 / len(members))
    return np.asarray(np.einsum("m,mfc->fc", weights, np.stack(members)), dtype=np.float64)

"""Weights of rankings under which what users took is likeliest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]

PENALTY = 1e-3
"""Weight of the squared distance of the members' weights from equal ones."""


@dataclass(frozen=True)
class Lesson:
    """What some users' pairs tell about weights; rows are users who took something.

    Args:
        members: Scores of the members, float32 [members, users, items].
        free: Items that a user might have taken, bool [users, items].
        wanted: Each user's items, summing to 1, [users, items]; all of them are free.
    """

    members: NDArray[np.float32]
    free: NDArray[np.bool_]
    wanted: Floats


def likeliest_weights(lessons: Sequence[Lesson], penalty: float = PENALTY) -> Floats:
    """Choose the members' weights, none negative, by the likelihood of what was taken.

    A user's next item is drawn from those free with probability softmax(weighted sum of scores);
    every user of every lesson counts alike. Unlike the metrics of the first places, which
    `mutualrec ensemble` climbs on, this has one maximum and uses all of a list, so some hundred
    pairs suffice.
    """
    count = len(lessons[0].members)
    users = sum(len(part.wanted) for part in lessons)

    def loss(weights: Floats) -> tuple[float, Floats]:
        even = weights - weights.mean()
        value, slope = penalty * users * float(even @ even), 2 * penalty * users * even
        for part in lessons:
            added, slopes = _surprise(weights, part)
            value, slope = value + added, slope + slopes
        return value / users, slope / users

    found = minimize(loss, np.full(count, 1 / count), jac=True, bounds=[(0.0, None)] * count)
    weights: Floats = found.x
    return weights


def _surprise(weights: Floats, part: Lesson) -> tuple[float, Floats]:
    """Return the negative log-likelihood of a lesson and its gradient."""
    logits = np.einsum("m,mui->ui", weights.astype(np.float32), part.members)
    logits = np.where(part.free, logits, -np.inf)
    logits -= logits.max(1, keepdims=True)
    chances = np.exp(logits)
    totals = chances.sum(1, keepdims=True)
    drawn = np.where(part.wanted > 0, logits - np.log(totals), 0.0)
    wrong = (chances / totals - part.wanted).astype(np.float32)
    return -float((part.wanted * drawn).sum()), np.einsum("mui,ui->m", part.members, wrong)

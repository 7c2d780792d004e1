"""Chances of a purchase next quarter from scores, and whether they come true."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from benchmarks.funds.holdings import Flags, Floats, Holdings

EDGES = (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0)
"""Bounds of the predicted chances that are put into one bin."""


@dataclass(frozen=True)
class Chances:
    """Pairs of a reporting fund and a company that it never held.

    Args:
        features: Score of the pair, and the logarithm of 1 + the fund's newest purchases.
        bought: Whether the fund held the company a quarter later, bool [pairs].
    """

    features: Floats
    bought: Flags


@dataclass(frozen=True)
class Bin:
    """Pairs of similar predicted chances: their number, mean prediction, and what happened."""

    low: float
    high: float
    pairs: int
    predicted: float
    observed: float


def chances(holdings: Holdings, quarter: int, scores: Floats) -> Chances:
    """Return the pairs of a quarter, all that is known of them being from before it."""
    past = holdings.past(quarter)
    before, now = past[:-1].any(0), past[-1]
    reporting = now.any(1) & holdings.held[quarter].any(1)
    purchases = np.log1p((now & ~before & past[-2].any(1)[:, None]).sum(1))
    pairs = reporting[:, None] & ~past.any(0)
    activity = np.broadcast_to(purchases[:, None], scores.shape)
    features = np.stack([scores[pairs], activity[pairs]], axis=1)
    return Chances(features, holdings.held[quarter][pairs])


def fit_logistic(known: Sequence[Chances]) -> Floats:
    """Fit P(bought) = sigmoid(a + b score + c activity) by likelihood; returns (a, b, c)."""
    features = np.concatenate([part.features for part in known])
    bought = np.concatenate([part.bought for part in known])

    def loss(values: Floats) -> tuple[float, Floats]:
        logits = values[0] + features @ values[1:]
        wrong = expit(logits) - bought
        slope = np.concatenate([[wrong.mean()], wrong @ features / len(bought)])
        return float((np.logaddexp(0.0, logits) - bought * logits).mean()), slope

    start = np.array([np.log(max(bought.mean(), 1e-9)), 0.1, 0.1])
    # The mean loss is tiny, as almost nothing is bought: stop by its slope, not by its value.
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-12})
    parameters: Floats = found.x
    return parameters


def predicted(parameters: Floats, pairs: Chances) -> Floats:
    """Return the predicted chances [pairs]."""
    logits = parameters[0] + pairs.features @ parameters[1:]
    return np.asarray(expit(logits), dtype=np.float64)


def reliability(chance: Floats, bought: Flags, edges: Sequence[float] = EDGES) -> list[Bin]:
    """Return what was predicted beside what happened; bins without a pair are left out."""
    place: NDArray[np.int64] = np.digitize(chance, edges[1:-1])
    return [
        Bin(
            edges[number],
            edges[number + 1],
            int(inside.sum()),
            float(chance[inside].mean()),
            float(bought[inside].mean()),
        )
        for number in range(len(edges) - 1)
        if (inside := place == number).any()
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error: mean distance of prediction and outcome."""
    total = sum(b.pairs for b in bins)
    return sum(b.pairs * abs(b.predicted - b.observed) for b in bins) / total

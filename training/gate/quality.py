"""Does the candidate rank the held-out interactions worse? NDCG@20 user by user, bootstrapped."""

import numpy as np
from numpy.typing import NDArray

from service.artifact import GateCheck
from training.data.pairs import Pairs
from training.evaluation import measure
from training.gate.contender import Contender
from training.gate.limits import Limits

METRIC = "ndcg@20"
_DRAWS = 1000
_LEVEL = 0.95


def check_quality(champion: Contender, candidate: Contender, limits: Limits) -> list[GateCheck]:
    """Compare both on the holdout: all of its users, and those of whom little is known."""
    holdout = champion.holdout
    old, new = (_values(contender, holdout.pairs) for contender in (champion, candidate))
    known = np.bincount(holdout.known.user_rows, minlength=holdout.dataset.num_users)
    cold = known[np.unique(holdout.pairs.user_rows)] < limits.cold_pairs
    return [
        compare(METRIC, old, new, limits, max_loss=limits.max_loss),
        compare(f"{METRIC} of cold users", old[cold], new[cold], limits),
    ]


def compare(
    name: str,
    old: NDArray[np.float64],
    new: NDArray[np.float64],
    limits: Limits,
    *,
    max_loss: float = 1.0,
) -> GateCheck:
    """Compare two rankings of the same users by a paired bootstrap of the difference.

    It fails when the difference is below zero with certainty (the upper end of its 95 % interval
    is), or when the mean falls by more than `max_loss`, certain or not.

    Args:
        name: Name of the check.
        old: The champion's values per user.
        new: The candidate's, of the same users.
        limits: How many users are needed.
        max_loss: Share of the champion's mean that may be lost.
    """
    if len(old) < limits.min_users:
        reason = f"too few to judge: {len(old)} users in the holdout, {limits.min_users} are needed"
        return GateCheck(name=name, passed=True, reason=reason)
    difference = new - old
    drawn = np.random.default_rng(0).integers(0, len(old), (_DRAWS, len(old)))
    edges = np.quantile(difference[drawn].mean(axis=1), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    low, high = edges.tolist()
    value, before = float(difference.mean()), float(old.mean())
    limit = -max_loss * before
    reason = (
        f"{name} {before:.4f} to {float(new.mean()):.4f} over {len(old)} users,"
        f" a change of {value:+.4f} ({low:+.4f} to {high:+.4f})"
    )
    if high < 0:
        reason = f"the candidate ranks worse: {reason}"
    elif value < limit:
        reason = f"the candidate loses more than {max_loss:.0%}: {reason}"
    return GateCheck(
        name=name,
        passed=high >= 0 and value >= limit,
        value=value,
        limit=limit,
        low=low,
        high=high,
        reason=reason,
    )


def _values(contender: Contender, relevant: Pairs) -> NDArray[np.float64]:
    if not len(relevant):
        return np.zeros(0)
    return measure(contender.rank(relevant), (20,)).per_user[METRIC]

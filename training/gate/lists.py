"""Do the candidate's lists show less of the catalogue, or more of what is popular anyway?"""

import numpy as np
from numpy.typing import NDArray

from service.artifact import GateCheck
from training.data.pairs import Pairs
from training.gate.contender import DEPTH, Contender
from training.gate.limits import Limits

_SAMPLED_USERS = 1000


def check_lists(champion: Contender, candidate: Contender, limits: Limits) -> list[GateCheck]:
    """Compare the lists of the same users: how many different items, and how popular."""
    known = champion.holdout.known
    users = np.unique(known.user_rows)
    if len(users) > _SAMPLED_USERS:
        users = np.sort(np.random.default_rng(0).choice(users, _SAMPLED_USERS, replace=False))
    # What is relevant plays no part: only the lists are looked at.
    anything = Pairs(users, np.zeros(len(users), np.int64))
    old, new = (
        rows[rows >= 0]
        for rows in (side.rank(anything).item_rows for side in (champion, candidate))
    )
    popularity = np.bincount(known.item_rows, minlength=champion.holdout.dataset.num_items)
    return [_coverage(old, new, limits), _popularity(old, new, popularity, limits)]


def _coverage(old: NDArray[np.int64], new: NDArray[np.int64], limits: Limits) -> GateCheck:
    before, after = len(np.unique(old)), len(np.unique(new))
    limit = limits.min_coverage * before
    reason = f"{before} to {after} different items in the lists of {DEPTH}"
    if after < limit:
        reason += f", at least {limit:.0f} are needed"
    return GateCheck(
        name="coverage", passed=after >= limit, value=after, limit=limit, reason=reason
    )


def _popularity(
    old: NDArray[np.int64],
    new: NDArray[np.int64],
    popularity: NDArray[np.int64],
    limits: Limits,
) -> GateCheck:
    before, after = (float(popularity[rows].mean()) if len(rows) else 0.0 for rows in (old, new))
    limit = limits.max_popularity * before
    reason = f"items in the lists have {before:.1f} to {after:.1f} interactions on average"
    if after > limit:
        reason += f", at most {limit:.1f} are allowed"
    return GateCheck(
        name="popularity bias", passed=after <= limit, value=after, limit=limit, reason=reason
    )

"""Can the candidate be served at all: sound vectors, an index that finds them, and fast enough?"""

import numpy as np
from numpy.typing import NDArray

from service.artifact import Artifact, GateCheck
from training.gate.contender import DEPTH, Contender
from training.gate.limits import Limits

_QUERIES = 200
_TINY = 1e-12


def check_vectors(champion: Artifact, candidate: Artifact, limits: Limits) -> list[GateCheck]:
    """Look for values that are not finite, for zero vectors, and for other lengths than before."""
    arrays = (candidate.users, candidate.items)
    broken = sum(int((~np.isfinite(array)).any(axis=1).sum()) for array in arrays)
    finite = GateCheck(
        name="finite vectors",
        passed=broken == 0,
        value=broken,
        limit=0.0,
        reason=f"{broken} vectors hold NaN or infinity",
    )
    return [finite, _empty(candidate, limits), _lengths(champion, candidate, limits)]


def check_search(champion: Contender, candidate: Contender, limits: Limits) -> list[GateCheck]:
    """Search both indexes: how much of the exact answer is found, and how fast."""
    old, new = (_sample(side.artifact.users) for side in (champion, candidate))
    found, seconds = candidate.served.search(new, DEPTH)
    _, before = champion.served.search(old, DEPTH)
    recall = _recall(new, candidate.artifact.items, found)
    index = GateCheck(
        name="index recall",
        passed=recall >= limits.min_index_recall,
        value=recall,
        limit=limits.min_index_recall,
        reason=f"the index finds {recall:.2%} of the exact top {DEPTH},"
        f" at least {limits.min_index_recall:.2%} are needed",
    )
    return [index, _latency(before, seconds, limits)]


def _empty(candidate: Artifact, limits: Limits) -> GateCheck:
    learned = np.unique(candidate.seen_indices)
    active = np.flatnonzero(np.diff(candidate.seen_indptr))
    empty = int((~candidate.users[active].any(axis=1)).sum())
    empty += int((~candidate.items[learned].any(axis=1)).sum())
    share = empty / max(1, len(active) + len(learned))
    return GateCheck(
        name="empty vectors",
        passed=share <= limits.max_empty,
        value=share,
        limit=limits.max_empty,
        reason=f"{share:.2%} of the users and items with interactions have a zero vector,"
        f" at most {limits.max_empty:.2%} are allowed",
    )


def _lengths(champion: Artifact, candidate: Artifact, limits: Limits) -> GateCheck:
    """The worse of users and items; the factor is the same for longer and for shorter ones."""
    factors = []
    for old, new in ((champion.users, candidate.users), (champion.items, candidate.items)):
        before, after = _length(old), _length(new)
        factors.append(max(before, after) / max(min(before, after), _TINY))
    factor = max(factors)
    return GateCheck(
        name="vector lengths",
        passed=factor <= limits.max_norm_change,
        value=factor,
        limit=limits.max_norm_change,
        reason=f"the median length of users' or items' vectors changes by a factor of {factor:.2f},"
        f" at most {limits.max_norm_change:g} is allowed",
    )


def _length(rows: NDArray[np.float32]) -> float:
    """The median length of the vectors that are not zero."""
    lengths = np.linalg.norm(np.nan_to_num(rows), axis=1)
    return float(np.median(lengths[lengths > 0])) if lengths.any() else 0.0


def _sample(users: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = np.flatnonzero(users.any(axis=1))
    return np.ascontiguousarray(users[rows[:: max(1, len(rows) // _QUERIES)][:_QUERIES]])


def _recall(
    queries: NDArray[np.float32], items: NDArray[np.float32], found: NDArray[np.int64]
) -> float:
    """The share of found items that belong there; of equal scores any may come."""
    if not len(queries):
        return 1.0
    k = found.shape[1]
    scores = queries.astype(np.float64) @ items.astype(np.float64).T
    last = np.partition(scores, -k, axis=1)[:, -k]
    tolerance = 1e-5 * np.abs(scores).max(axis=1)
    reached = np.take_along_axis(scores, np.maximum(found, 0), axis=1)
    good = (found >= 0) & (reached >= (last - tolerance)[:, None])
    return float(good.mean())


def _latency(
    before: NDArray[np.float64], seconds: NDArray[np.float64], limits: Limits
) -> GateCheck:
    old, new = (1000 * float(np.median(s)) if len(s) else 0.0 for s in (before, seconds))
    limit = max(limits.max_latency * old, limits.latency_floor_ms)
    return GateCheck(
        name="search latency",
        passed=new <= limit,
        value=new,
        limit=limit,
        reason=f"a search takes {old:.2f} to {new:.2f} ms, at most {limit:.2f} are allowed",
    )

"""The best items among those that are allowed: exact at any selectivity, with any index."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.artifact import Artifact
from service.index import ItemIndex

Ranked: TypeAlias = tuple[NDArray[np.floating], NDArray[np.int64]]
Mask: TypeAlias = NDArray[np.bool_]

_SCANNED_ITEMS = 2000
_SCANNED_SHARE = 0.1
_FETCHED_SHARE = 0.25
_SAMPLED_ITEMS = 2048
_BOOST_LEVELS = 4


class Candidates(Protocol):
    """Items with scores, of which the best can be had."""

    def top(self, count: int, allowed: Mask) -> Ranked:
        """The best items.

        Args:
            count: how many, at least 1.
            allowed: [I] what may come.

        Returns:
            scores [m], falling, and item rows [m] int64; m < count only when no other
            item is allowed.
        """
        ...

    def spread(self) -> float:
        """The standard deviation of the scores over the items, or close to it."""
        ...


@dataclass(frozen=True, eq=False)
class ModelCandidates:
    """Scores are inner products with `query` [D] float32."""

    artifact: Artifact
    index: ItemIndex
    query: NDArray[np.float32]

    def top(self, count: int, allowed: Mask) -> Ranked:
        """See `Candidates.top`.

        Where much is allowed the index answers: it is asked for more until enough of what it finds
        is allowed, so what it leaves out is worse. Where little is allowed, or the index cannot
        give enough, the allowed items are scored one by one.
        """
        num_items = len(allowed)
        passing = int(np.count_nonzero(allowed))
        scanned = max(_SCANNED_ITEMS, int(_SCANNED_SHARE * num_items))
        fetch = count if passing == num_items else int(1.2 * count * num_items / max(1, passing))
        while passing > scanned and fetch < _FETCHED_SHARE * num_items:
            scores, rows = self.index.search(self.query[None, :], fetch)
            kept = allowed[rows[0]]
            if np.count_nonzero(kept) >= count:
                return scores[0][kept][:count], rows[0][kept][:count]
            fetch *= 4
        rows = np.flatnonzero(allowed)
        items = self.artifact.items
        scores = (items if passing == num_items else items[rows]) @ self.query
        return best(scores, rows, count)

    def spread(self) -> float:
        """See `Candidates.spread`; taken over some 2,000 items spread over the catalogue."""
        items = self.artifact.items
        return float(np.std(items[:: max(1, len(items) // _SAMPLED_ITEMS)] @ self.query))


@dataclass(frozen=True, eq=False)
class PopularCandidates:
    """Scores are the popularity [I]."""

    popularity: NDArray[np.float64]

    def top(self, count: int, allowed: Mask) -> Ranked:
        """See `Candidates.top`."""
        rows = np.flatnonzero(allowed)
        return best(self.popularity[rows], rows, count)

    def spread(self) -> float:
        """See `Candidates.spread`."""
        return float(np.std(self.popularity))


@dataclass(frozen=True, eq=False)
class BoostedCandidates:
    """Scores of other candidates with a boost [I] float32 added."""

    inner: Candidates
    boost: NDArray[np.float32]

    def top(self, count: int, allowed: Mask) -> Ranked:
        """See `Candidates.top`.

        Items of one boost keep their order, so the best of every level hold the best of all. Many
        levels are as many searches; beyond a few, all allowed items are scored instead.
        """
        levels = np.unique(self.boost[allowed])
        if len(levels) > _BOOST_LEVELS:
            scores, rows = self.inner.top(len(allowed), allowed)
            return best(scores + self.boost[rows], rows, count)
        parts = [self.inner.top(count, allowed & (self.boost == level)) for level in levels]
        if not parts:
            return np.zeros(0, np.float32), np.zeros(0, np.int64)
        rows = np.concatenate([rows for _, rows in parts])
        scores = np.concatenate([scores for scores, _ in parts]) + self.boost[rows]
        return best(scores, rows, count)

    def spread(self) -> float:
        """See `Candidates.spread`."""
        return self.inner.spread()


def best(scores: NDArray[np.floating], rows: NDArray[np.int64], count: int) -> Ranked:
    """The `count` greatest scores, falling; equal ones in row order."""
    if count < len(scores):
        chosen = np.argpartition(-scores, count - 1)[:count]
        scores, rows = scores[chosen], rows[chosen]
    order = np.lexsort((rows, -scores))
    return scores[order], rows[order]

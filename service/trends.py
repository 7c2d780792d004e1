"""What is popular, and when: every interaction fades with its age, or falls out of a window."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from service.artifact import Artifact
from service.errors import InvalidParameter

_KEPT = 8
_DAY_S = 86_400


class Trends:
    """The popularity of one version's items at any decay; safe to use from several threads."""

    def __init__(self, artifact: Artifact) -> None:
        """Computes nothing yet."""
        self._artifact = artifact
        self._kept: Callable[[float | None, int | None], NDArray[np.float64]] = lru_cache(
            maxsize=_KEPT
        )(self._compute)

    @property
    def as_of(self) -> date | None:
        """The newest day with an interaction: ages and windows count from its end."""
        daily = self._artifact.daily
        if daily is None or not len(daily.days):
            return None
        return datetime.fromtimestamp(int(daily.days.max()) * _DAY_S, UTC).date()

    def scores(self, half_life_days: float | None, window_days: int | None) -> NDArray[np.float64]:
        """The popularity [I].

        Args:
            half_life_days: above 0; an interaction of that age counts half. None: age is nothing.
            window_days: at least 1; older interactions do not count. None: all do.

        Raises:
            InvalidParameter: the catalog does not know when its interactions happened.
        """
        if half_life_days is None and window_days is None:
            return self._artifact.popularity
        if self.as_of is None:
            raise InvalidParameter(
                "half_life_days and window_days need the times of interactions, which version"
                f" {self._artifact.version} has not; leave them out, or publish again from data"
                " with timestamps"
            )
        return self._kept(half_life_days, window_days)

    def _compute(
        self, half_life_days: float | None, window_days: int | None
    ) -> NDArray[np.float64]:
        daily = self._artifact.daily
        assert daily is not None
        ages = daily.days.max() - daily.days.astype(np.int64)
        weights = daily.counts.astype(np.float64)
        if half_life_days is not None:
            # Whatever is older than a thousand half-lives is 0 without numpy's warning about it.
            weights *= np.exp2(-np.minimum(ages / half_life_days, 1000.0))
        if window_days is not None:
            weights[ages >= window_days] = 0.0
        scores: NDArray[np.float64] = np.bincount(
            daily.item_rows, weights, minlength=len(self._artifact.item_ids)
        ).astype(np.float64)
        scores.flags.writeable = False
        return scores

"""Rates with confidence intervals, and what sets two of them apart."""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

_Z = NormalDist().inv_cdf(0.975)
"""For intervals of 95 %."""


@dataclass(frozen=True)
class Rate:
    """`count` of `of`; its value and interval are None when there is nothing to take a share of."""

    count: int
    of: int

    @property
    def value(self) -> float | None:
        """The share."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The score interval (Wilson 1927) at 95 %."""
        if not self.of:
            return None
        share = self.count / self.of
        weight = _Z**2 / self.of
        middle = (share + weight / 2) / (1 + weight)
        half = sqrt(weight * share * (1 - share) + weight**2 / 4) / (1 + weight)
        # Rounding must not put the share outside of its interval.
        return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


@dataclass(frozen=True)
class Difference:
    """How much a rate is above another, at 95 %; `significant` when 0 is not in the interval."""

    value: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """Whether chance explains the difference badly."""
        return self.low > 0 or self.high < 0


def difference(rate: Rate, base: Rate) -> Difference | None:
    """`rate` minus `base` with the hybrid score interval (Newcombe 1998, method 10).

    None when one of them is a share of nothing.
    """
    share, other = rate.value, base.value
    own, others = rate.interval, base.interval
    if share is None or other is None or own is None or others is None:
        return None
    value = share - other
    low = value - sqrt((share - own[0]) ** 2 + (others[1] - other) ** 2)
    high = value + sqrt((own[1] - share) ** 2 + (other - others[0]) ** 2)
    return Difference(value, low, high)

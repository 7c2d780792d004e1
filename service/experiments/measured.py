"""What is measured of the arms of experiments, in the bodies of answers."""

from pydantic import BaseModel


class RateBody(BaseModel):
    """`count` of `of`; `low` and `high` bound the rate at 95 % (Wilson). Null where `of` is 0."""

    count: int
    of: int
    rate: float | None
    low: float | None
    high: float | None


class ClickThrough(RateBody):
    """Of the items that were shown at the first `k` places, those that were clicked.

    `k` is null for all that were shown, at unknown places too.
    """

    k: int | None


class Conversion(RateBody):
    """Of the recommendations, those with an event of the type; `events` counts the latter."""

    type: str
    events: int


class Coverage(BaseModel):
    """How many items were recommended, about (0.8 % standard error), and the share of all."""

    items: int
    share: float


class ArmMetrics(BaseModel):
    """What the recommendations of one arm were like, and what became of them.

    `users` is about (0.8 % standard error); sessions count as users.
    """

    recommendations: int
    users: int
    coverage: Coverage
    popular: RateBody
    padded: RateBody
    degraded: RateBody
    click_through: list[ClickThrough]
    conversions: list[Conversion]


class DifferenceBody(BaseModel):
    """How much a rate of `arm` is above that of `against`, with its interval at 95 %."""

    metric: str
    arm: str
    against: str
    value: float
    low: float
    high: float
    significant: bool

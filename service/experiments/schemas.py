"""Bodies of the answers about experiments."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from service.experiments.definition import ArmBody


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


class ArmReport(ArmBody):
    """An arm and its metrics."""

    metrics: ArmMetrics


class ExperimentReport(BaseModel):
    """An experiment, its arms' metrics of the days from `since`, and what sets them apart."""

    name: str
    catalog: str
    description: str
    state: Literal["running", "stopped"]
    started_at: datetime
    stopped_at: datetime | None
    since: str
    arms: list[ArmReport]
    differences: list[DifferenceBody]


class ExperimentsResponse(BaseModel):
    """All experiments of a catalog, oldest first; `outside` is all that was in none."""

    catalog: str
    since: str
    experiments: list[ExperimentReport]
    outside: ArmMetrics

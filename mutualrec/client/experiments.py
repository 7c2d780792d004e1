"""Experiments as their endpoints tell of them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, JsonValue

from service.experiments.measured import ArmMetrics, DifferenceBody


class Arm(BaseModel):
    """One way to answer, and the share of users who get it.

    `version` is served to them, `weights` are factors on those of the ensemble's members, `rules`
    are written as in `POST /recommend`.
    """

    name: str
    share: float
    version: str | None = None
    weights: dict[str, float] = {}
    rules: dict[str, JsonValue] = {}


class MeasuredArm(Arm):
    """An arm and what was measured of it."""

    metrics: ArmMetrics


class Experiment(BaseModel):
    """An experiment as it is kept."""

    name: str
    description: str
    running: bool
    arms: list[Arm]
    number: int
    counted_from: datetime
    started_at: datetime
    stopped_at: datetime | None = None


class ExperimentReport(BaseModel):
    """An experiment with its arms' metrics of the days from `since`, and what sets them apart."""

    name: str
    catalog: str
    description: str
    state: Literal["running", "stopped"]
    started_at: datetime
    stopped_at: datetime | None
    since: str
    arms: list[MeasuredArm]
    differences: list[DifferenceBody]


class ExperimentReports(BaseModel):
    """All experiments of a catalog, oldest first; `outside` is all that was in none."""

    catalog: str
    since: str
    experiments: list[ExperimentReport]
    outside: ArmMetrics

"""Bodies of the answers about experiments."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from service.experiments.definition import ArmBody
from service.experiments.measured import ArmMetrics, DifferenceBody


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

"""What an experiment is, as it is written and kept."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from service.experiments.ids import MAX_ARM, MAX_NUMBER
from service.rules.body import RulesBody
from service.versions import check_version

MAX_ARMS = 16
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
_TOLERANCE = 1e-9

assert MAX_ARMS <= MAX_ARM

Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class ArmBody(BaseModel):
    """One way to answer, and the share of users who get it.

    An arm may serve another `version`, give members of the ensemble other `weights` (factors on
    those they were published with, by block name) and add `rules` to those of every request. One
    with neither is the service as it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
    version: Annotated[str, AfterValidator(check_version)] | None = None
    weights: Annotated[
        dict[str, Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]],
        Field(max_length=64),
    ] = {}
    rules: RulesBody = RulesBody()


class ExperimentBody(BaseModel):
    """The arms of an experiment; the first is what the others are compared with.

    Shares are of all users; what they leave of 1 stays outside.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    arms: Annotated[tuple[ArmBody, ...], Field(min_length=2, max_length=MAX_ARMS)]
    description: Annotated[str, Field(max_length=1000)] = ""
    running: bool = True

    @model_validator(mode="after")
    def _shares_and_names(self) -> "ExperimentBody":
        if self.share > 1 + _TOLERANCE:
            raise ValueError(f"the shares of the arms sum to {self.share:g}, at most 1 is possible")
        names = [arm.name for arm in self.arms]
        if len(set(names)) != len(names):
            raise ValueError(f"arms need distinct names, these are {', '.join(names)}")
        return self

    @property
    def share(self) -> float:
        """The share of users in any arm."""
        return sum(arm.share for arm in self.arms)

    @property
    def takes_everybody(self) -> bool:
        """Whether no user stays outside."""
        return self.share >= 1 - _TOLERANCE


class Experiment(ExperimentBody):
    """An experiment as Redis keeps it.

    `number` stands in recommendation ids. It changes when the arms do, and counting begins anew.
    `started_at` is the latest start: of several experiments the one started first has somebody.
    """

    name: Name
    number: Annotated[int, Field(ge=1, le=MAX_NUMBER)]
    counted_from: datetime
    started_at: datetime
    stopped_at: datetime | None = None

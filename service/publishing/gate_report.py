"""What a retraining's gate found, as it is written into the manifest of the candidate."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Finite = Annotated[float, Field(allow_inf_nan=False)]


class GateCheck(BaseModel):
    """One check: its measured value, what the value was held against, and the reason in words.

    ``low`` and ``high`` are the bootstrap interval of the value where it has one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    passed: bool
    value: Finite | None = None
    limit: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None
    reason: str


class GateReport(BaseModel):
    """The judgement of a candidate.

    ``champion`` is the version it was compared with. ``forced`` says that it became current though
    a check had failed. ``pinned_to`` is the version that the catalog was pinned to, which kept this
    one from becoming current though nothing else did. ``holdout_pairs`` of ``holdout_users`` were
    hidden from both.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    champion: str
    judged_at: AwareDatetime
    forced: bool = False
    pinned_to: str | None = None
    warm: bool = False
    holdout_users: Annotated[int, Field(ge=0)]
    holdout_pairs: Annotated[int, Field(ge=0)]
    checks: tuple[GateCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def refused(self) -> bool:
        """Whether it was kept from becoming current."""
        return not (self.passed or self.forced)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why checks failed."""
        return tuple(check.reason for check in self.checks if not check.passed)

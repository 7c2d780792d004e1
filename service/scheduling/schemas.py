"""Shapes of the answers about trainings."""

from pydantic import AwareDatetime, BaseModel


class TrainingNow(BaseModel):
    """Who is at work: host and process."""

    owner: str
    token: int
    lease_left_s: float


class GateDecision(BaseModel):
    """What the gate said of the candidate `version`, and why its checks failed.

    `decision` is `accepted`, `refused` or `forced` (though a check had failed). `pinned_to` is the
    version that the catalog is pinned to, if that kept the candidate from becoming current. After
    `nothing_new` this is what was said of the candidate that the same data had made before.
    """

    version: str
    decision: str
    reasons: list[str]
    pinned_to: str | None = None


class LastRun(BaseModel):
    """The newest run; `state` is `running`, `finished`, or `died` when it was killed.

    `result` is the name of the exit code: `promoted`, `nothing_new`, `refused` (by the gate),
    `pinned` (accepted, but the catalog is pinned) or `failed`. `version` is the version that
    was current when it had ended. `gate` is null where nothing was judged.
    """

    state: str
    result: str | None
    exit_code: int | None
    message: str
    started_at: AwareDatetime
    finished_at: AwareDatetime | None
    version: str | None
    gate: GateDecision | None = None
    request_id: str | None
    owner: str


class TrainingRequest(BaseModel):
    """Somebody asked; `state` is `waiting`, `running` or `done`."""

    request_id: str
    requested_at: AwareDatetime
    state: str


class SchedulerAlive(BaseModel):
    """A scheduler that said so a moment ago; `next_run_at` is by its cron expression."""

    host: str
    cron: str
    after_events: int | None
    next_run_at: AwareDatetime | None


class TrainingStatus(BaseModel):
    """What is known of a catalog's training; without a `scheduler` a request waits for one."""

    catalog: str
    training: TrainingNow | None
    last_run: LastRun | None
    request: TrainingRequest | None
    scheduler: SchedulerAlive | None


class Asked(BaseModel):
    """It will be trained; `status` is where to see what became of it."""

    catalog: str
    request_id: str
    requested_at: AwareDatetime
    has_scheduler: bool
    status: str

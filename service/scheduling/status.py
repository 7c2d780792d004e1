"""What Redis knows of a catalog's training: who is at it, the newest run, wishes, the schedule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import orjson
from redis import Redis

from service.scheduling.keys import TrainingKeys
from service.scheduling.lease import Holder, parse_holder

PROMOTED, NOTHING_NEW, REFUSED, PINNED = 0, 10, 20, 30
RESULTS: Mapping[int, str] = {
    PROMOTED: "promoted",
    NOTHING_NEW: "nothing_new",
    REFUSED: "refused",
    PINNED: "pinned",
}
"""Exit codes of `mutualrec retrain` after which the events are dealt with; others are failures."""

RunState = Literal["running", "finished", "died"]
Decision = Literal["accepted", "refused", "forced"]


@dataclass(frozen=True)
class Judgement:
    """What the gate said of the candidate that a run made, or found made and refused before.

    Attributes:
        version: the candidate.
        decision: ``forced`` where somebody wanted it published though a check had failed.
        reasons: why checks failed; none where it was accepted.
        pinned_to: the version that the catalog is pinned to, if that kept it from becoming current.
    """

    version: str
    decision: Decision
    reasons: tuple[str, ...]
    pinned_to: str | None = None

    def encoded(self) -> bytes:
        """As it is kept."""
        return orjson.dumps(self)

    @classmethod
    def decode(cls, kept: str) -> "Judgement":
        """What `encoded` made."""
        fields = orjson.loads(kept)
        return cls(**{**fields, "reasons": tuple(fields["reasons"])})


@dataclass(frozen=True)
class Run:
    """One call of `mutualrec retrain` that had the lease.

    Attributes:
        token: its fencing token.
        owner: host, process and a number.
        started_at_ms: when it had the lease.
        finished_at_ms: when it ended; None while it works, or if it was killed.
        exit_code: how it ended.
        message: why, in words.
        version: the version that was current when it had ended.
        request_id: the wish that it fulfils, empty for none.
        judgement: what the gate said; None where nothing was judged.
    """

    token: int
    owner: str
    started_at_ms: int
    finished_at_ms: int | None
    exit_code: int | None
    message: str
    version: str | None
    request_id: str
    judgement: Judgement | None = None

    @property
    def result(self) -> str | None:
        """A name of `RESULTS` or ``failed``; None before its end."""
        return None if self.exit_code is None else RESULTS.get(self.exit_code, "failed")


@dataclass(frozen=True)
class Wish:
    """Somebody wants the catalog to be trained now."""

    request_id: str
    requested_at_ms: int


@dataclass(frozen=True)
class Schedule:
    """What a scheduler that is alive will do.

    Attributes:
        host: where it runs.
        next_run_at_ms: when the next training is due by time; None if none is.
        cron: the cron expression, empty for none.
        after_events: how many new events start a training; None for no number.
    """

    host: str
    next_run_at_ms: int | None
    cron: str
    after_events: int | None

    def encoded(self) -> bytes:
        """As it is kept."""
        return orjson.dumps(
            {
                "host": self.host,
                "next_run_at_ms": self.next_run_at_ms,
                "cron": self.cron,
                "after_events": self.after_events,
            }
        )


@dataclass(frozen=True)
class Status:
    """All of it.

    Attributes:
        holder: who trains now.
        run: the newest run.
        learned: how many events had ever come when the last run that dealt with them began.
        wish: the newest one, fulfilled or not.
        schedule: None where no scheduler is alive.
    """

    holder: Holder | None
    run: Run | None
    learned: int
    wish: Wish | None
    schedule: Schedule | None

    @property
    def run_state(self) -> RunState | None:
        """Whether the newest run works, has ended, or died without a word."""
        if self.run is None:
            return None
        if self.run.finished_at_ms is not None:
            return "finished"
        is_held = self.holder is not None and self.holder.token == self.run.token
        return "running" if is_held else "died"

    @property
    def is_wished(self) -> bool:
        """Whether a wish waits that no run has fulfilled or is fulfilling."""
        if self.wish is None:
            return False
        is_taken = self.run is not None and self.run.request_id == self.wish.request_id
        return not is_taken or self.run_state == "died"


# Any: a pipeline of either client, and its replies.
def queue_status(pipeline: Any, catalog: str) -> None:
    """Adds the commands of which `status_of` reads the replies."""
    keys = TrainingKeys(catalog)
    pipeline.get(keys.lease)
    pipeline.pttl(keys.lease)
    pipeline.hgetall(keys.run)
    pipeline.hgetall(keys.request)
    pipeline.get(keys.schedule)


def status_of(replies: Sequence[Any]) -> Status:
    """What the replies say."""
    lease, left_ms, run, wish, schedule = replies
    run, wish = _text(run), _text(wish)
    return Status(
        holder=parse_holder(lease, left_ms),
        run=_run(run) if "started_at_ms" in run else None,
        learned=int(run.get("learned", 0)),
        wish=Wish(wish["id"], int(wish["requested_at_ms"])) if wish else None,
        schedule=None if schedule is None else Schedule(**orjson.loads(schedule)),
    )


def read_status(client: Redis, catalog: str) -> Status:
    """Asks Redis in one round trip.

    Raises:
        RedisError: Redis does not answer.
    """
    with client.pipeline(transaction=True) as pipeline:
        queue_status(pipeline, catalog)
        return status_of(pipeline.execute())


def _text(fields: object) -> dict[str, str]:
    given = cast("Mapping[bytes, bytes]", fields)
    return {name.decode(): value.decode() for name, value in given.items()}


def _run(fields: Mapping[str, str]) -> Run:
    finished, code = fields.get("finished_at_ms"), fields.get("exit_code")
    judgement = fields.get("judgement")
    return Run(
        token=int(fields["token"]),
        owner=fields["owner"],
        started_at_ms=int(fields["started_at_ms"]),
        finished_at_ms=None if finished is None else int(finished),
        exit_code=None if code is None else int(code),
        message=fields.get("message", ""),
        version=fields.get("version") or None,
        request_id=fields.get("request_id", ""),
        judgement=None if judgement is None else Judgement.decode(judgement),
    )

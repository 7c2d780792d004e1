"""What starts a training beside the clock: being asked, and so many new events.

The schedulers ask this; the service itself starts no training.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from redis import Redis

from service.scheduling.keys import TrainingKeys
from service.scheduling.lease import holder_of
from service.scheduling.recording import events_ever
from service.scheduling.status import RESULTS, Schedule, Status, read_status

FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 3600.0
_ALIVE_S = 10


@dataclass(frozen=True)
class Reason:
    """Why to train a catalog: in words, and the request if that is it."""

    text: str
    request_id: str | None = None


@dataclass(frozen=True)
class Occasions:
    """Looks for reasons to train.

    Attributes:
        client: a connection that may wait for replies.
        after_events: so many new events are one; None for no number.
    """

    client: Redis
    after_events: int | None

    def find(self, catalog: str) -> Reason | None:
        """Why to train the catalog now, None for no reason.

        While somebody trains it there is none: what is asked for now is looked at again when that
        has ended.

        Raises:
            RedisError: Redis does not answer.
        """
        status = read_status(self.client, catalog)
        if status.holder is not None:
            return None
        if status.is_wished and status.wish is not None:
            return Reason("it was asked for", status.wish.request_id)
        if self.after_events is None:
            return None
        new = self._new_events(catalog, status)
        return Reason(f"{new} new events") if new >= self.after_events else None

    def is_taken(self, catalog: str) -> bool:
        """Whether somebody trains the catalog now.

        Raises:
            RedisError: Redis does not answer.
        """
        return holder_of(self.client, catalog) is not None

    def say_alive(self, catalog: str, schedule: Schedule) -> None:
        """Says that a scheduler cares for the catalog, and what it will do.

        Raises:
            RedisError: Redis does not answer.
        """
        self.client.set(TrainingKeys(catalog).schedule, schedule.encoded(), ex=_ALIVE_S)

    def _new_events(self, catalog: str, status: Status) -> int:
        ever = events_ever(self.client, catalog)
        # Fewer than before: the server has lost its data, and all there are have come since.
        return ever - status.learned if ever >= status.learned else ever


class Pauses:
    """Longer and longer pauses after trainings that failed, so that none runs over and over."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing has failed yet.

        Args:
            clock: seconds from any start.
        """
        self._clock = clock
        self._failures: dict[str, int] = {}
        self._until: dict[str, float] = {}
        self._tried: dict[str, set[str | None]] = {}

    def ended(self, catalog: str, reason: Reason, exit_code: int) -> None:
        """Takes note of how a training ended."""
        if exit_code in RESULTS:
            for noted in (self._failures, self._until, self._tried):
                noted.pop(catalog, None)
            return
        count = self._failures.get(catalog, 0)
        self._failures[catalog] = count + 1
        self._tried.setdefault(catalog, {None}).add(reason.request_id)
        pause_s = min(FIRST_PAUSE_S * 2.0**count, LONGEST_PAUSE_S)
        self._until[catalog] = self._clock() + pause_s

    def hold_back(self, catalog: str, reason: Reason) -> bool:
        """Whether to wait; a new request never waits."""
        if self._clock() >= self._until.get(catalog, 0.0):
            return False
        return reason.request_id in self._tried[catalog]

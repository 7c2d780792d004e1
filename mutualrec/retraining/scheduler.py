"""The scheduler: trains catalogs by the clock, after so many new events, and when asked to.

APScheduler's threads only say what is due; the trainings run one after the other in the thread that
called `Scheduler.run`, each as a process of its own. Any number of schedulers may run beside each
other and beside CronJobs: the lease lets one training through, the others find nothing new.
"""

import logging
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from queue import Queue
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from mutualrec.retraining.cron import cron_trigger

if TYPE_CHECKING:
    from mutualrec.retraining.child import Ended
    from service.scheduling.occasions import Occasions, Pauses, Reason
    from service.settings import Settings

logger = logging.getLogger(__name__)

WATCH_S = 1.0
_CRON = "cron"
_ERROR = 1


class Train(Protocol):
    """Trains a catalog once and returns how that ended."""

    def __call__(self, catalog: str, /) -> "Ended":
        """Train."""


class Scheduler:
    """Trains catalogs until it is told to stop."""

    def __init__(
        self,
        settings: "Settings",
        occasions: "Occasions",
        pauses: "Pauses",
        catalogs: Callable[[], Sequence[str]],
        train: Train,
    ) -> None:
        """Starts nothing yet.

        Args:
            settings: Those that begin with `train_`.
            occasions: What starts a training beside the clock.
            pauses: What holds one back after failures.
            catalogs: The catalogs to train, asked for whenever something may be due.
            train: Trains one.

        Raises:
            CronInvalid: The cron expression means nothing.
        """
        self._settings = settings
        self._occasions = occasions
        self._pauses = pauses
        self._catalogs = catalogs
        self._train = train
        self._due: Queue[tuple[str, Reason]] = Queue()
        self._waiting: set[str] = set()
        self._lock = Lock()
        self._is_cut_off = False
        self._clock = BackgroundScheduler(timezone=UTC)
        if settings.train_cron:
            self._clock.add_job(
                self._due_by_time,
                cron_trigger(settings.train_cron, settings.train_jitter_s),
                id=_CRON,
                coalesce=True,
                misfire_grace_time=None,
            )
        self._clock.add_job(
            self.watch, IntervalTrigger(seconds=WATCH_S), coalesce=True, misfire_grace_time=None
        )

    def run(self) -> None:
        """Train whatever is due, forever; an exception, such as the one of a signal, ends it."""
        self._clock.start()
        try:
            logger.info(
                "scheduler started cron=%r after_events=%s next=%s",
                *(self._settings.train_cron, self._settings.train_after_events, self._next_run()),
            )
            while True:
                self.train_next()
        finally:
            self._clock.shutdown()
            logger.info("scheduler stopped")

    def watch(self) -> None:
        """Say that this scheduler is alive, and look for catalogs that should be trained now."""
        from redis.exceptions import RedisError

        try:
            for catalog in self._catalogs():
                self._say_alive(catalog)
                reason = self._occasions.find(catalog)
                if reason is not None and not self._pauses.hold_back(catalog, reason):
                    self.want(catalog, reason)
        except RedisError as error:
            if not self._is_cut_off:
                logger.warning("Redis does not answer, only the clock starts trainings: %s", error)
            self._is_cut_off = True
        else:
            self._is_cut_off = False

    def want(self, catalog: str, reason: "Reason") -> None:
        """Have a catalog trained; wanting it again before that changes nothing."""
        with self._lock:
            if catalog in self._waiting:
                return
            self._waiting.add(catalog)
        self._due.put((catalog, reason))

    def train_next(self) -> None:
        """Wait until a catalog is due and train it."""
        catalog, reason = self._due.get()
        try:
            self._train_one(catalog, reason)
        finally:
            with self._lock:
                self._waiting.discard(catalog)

    def _train_one(self, catalog: str, reason: "Reason") -> None:
        from service.scheduling.status import RESULTS

        logger.info("training catalog=%s because=%r", catalog, reason.text)
        ended = self._train(catalog)
        if ended.exit_code == _ERROR and self._somebody_else_trains(catalog):
            logger.info("training catalog=%s left to the trainer that has its lease", catalog)
            return
        self._pauses.ended(catalog, reason, ended.exit_code)
        logger.info(
            "trained catalog=%s exit_code=%d result=%s seconds=%.1f next=%s",
            *(catalog, ended.exit_code, RESULTS.get(ended.exit_code, "failed")),
            *(ended.seconds, self._next_run()),
        )

    def _somebody_else_trains(self, catalog: str) -> bool:
        from redis.exceptions import RedisError

        try:
            return self._occasions.is_taken(catalog)
        except RedisError:
            return False

    def _due_by_time(self) -> None:
        from service.scheduling.occasions import Reason

        for catalog in self._catalogs():
            self.want(catalog, Reason("it is time"))

    def _say_alive(self, catalog: str) -> None:
        from service.scheduling.status import Schedule

        moment = self._next_run()
        schedule = Schedule(
            host=socket.gethostname(),
            next_run_at_ms=None if moment is None else int(moment.timestamp() * 1000),
            cron=self._settings.train_cron,
            after_events=self._settings.train_after_events,
        )
        self._occasions.say_alive(catalog, schedule)

    def _next_run(self) -> datetime | None:
        job = self._clock.get_job(_CRON)
        moment: datetime | None = None if job is None else job.next_run_time
        return moment

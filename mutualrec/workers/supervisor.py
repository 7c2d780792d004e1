"""Watches the processes that serve: replaces one that dies, and all of them on SIGHUP.

It has one thread and waits for signals, which are blocked otherwise: none is lost, and a process
that is forked has them blocked as well until it is ready for them.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, SpawnContext

from mutualrec.workers.worker import STARTED, STARTUP_FAILED

logger = logging.getLogger(__name__)

Target = Callable[[int, Connection], None]
"""What a worker does, given the supervisor's process id and where to tell that it is well."""

_TICK_S = 0.5
# Starting takes its time on a busy machine; a worker that is silent for so long hangs.
_SILENT_S = 60.0
_STOP = {signal.SIGINT, signal.SIGTERM}
_WAITED_FOR = {*_STOP, signal.SIGHUP, signal.SIGALRM}


@contextmanager
def _unblocked(signs: set[signal.Signals]) -> Iterator[None]:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signs)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, signs)


class _Worker:
    """A started process, and what was heard of it."""

    def __init__(
        self, context: ForkContext | SpawnContext, target: Target, silent_s: float
    ) -> None:
        self._beats, beats = context.Pipe(duplex=False)
        self.process = context.Process(target=target, args=(os.getpid(), beats))
        self.process.start()
        beats.close()
        self._silent_s = silent_s
        self._heard = time.monotonic()
        self.has_started = False

    @property
    def pid(self) -> int | None:
        """The process id."""
        return self.process.pid

    def listen(self) -> None:
        """Hears what it told since the last time."""
        with suppress(EOFError, OSError):
            while self._beats.poll():
                self.has_started = self._beats.recv_bytes() == STARTED
                self._heard = time.monotonic()

    def is_well(self) -> bool:
        """Whether it is there and not silent for too long."""
        self.listen()
        return self.process.is_alive() and time.monotonic() - self._heard < self._silent_s

    def stop(self) -> None:
        """Tells it to end in order."""
        self.process.terminate()

    def end(self, deadline: float) -> None:
        """Waits until it is gone, kills it at the deadline."""
        self.process.join(max(0.0, deadline - time.monotonic()))
        if self.process.is_alive():
            logger.error("worker process %s did not stop and is killed", self.pid)
            self.process.kill()
            self.process.join()
        self._beats.close()


class Supervisor:
    """Keeps a number of workers."""

    def __init__(
        self,
        context: ForkContext | SpawnContext,
        target: Target,
        workers: int,
        *,
        stop_s: float,
        prepare: Callable[[], None] = lambda: None,
        silent_s: float = _SILENT_S,
    ) -> None:
        """Starts nothing yet.

        Args:
            context: how processes are started.
            target: what each does.
            workers: how many there are.
            stop_s: seconds that one may take to stop before it is killed.
            prepare: brings what workers share up to date; called before all of them are replaced.
            silent_s: seconds without a sign of life after which a worker is killed.
        """
        self._context = context
        self._target = target
        self._count = workers
        self._stop_s = stop_s
        self._prepare = prepare
        self._silent_s = silent_s
        self._workers: list[_Worker] = []
        self._replacing = False
        self._stopping = False
        self._failed = False

    def run(self) -> bool:
        """Serve until told to stop; False if a worker could not start."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
        signal.setitimer(signal.ITIMER_REAL, _TICK_S, _TICK_S)
        try:
            for _ in range(self._count):
                self._workers.append(self._start())
            while not self._stopping:
                self._wait()
                if self._replacing:
                    self._replacing = False
                    self._replace_all()
                self._replace_dead()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._stop_all()
            while came := signal.sigpending() & _WAITED_FOR:
                signal.sigwait(came)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAITED_FOR)
        return not self._failed

    def _start(self) -> _Worker:
        worker = _Worker(self._context, self._target, self._silent_s)
        logger.info("started worker process %s", worker.pid)
        return worker

    def _wait(self) -> None:
        """Until the next tick, or a signal."""
        sign = signal.sigwait(_WAITED_FOR)
        if sign in _STOP:
            logger.info("stopping all workers on %s", signal.Signals(sign).name)
            self._stopping = True
        elif sign == signal.SIGHUP:
            self._replacing = True

    def _replace_dead(self) -> None:
        for place, worker in enumerate(self._workers):
            if self._stopping:
                return
            if worker.is_well():
                continue
            worker.process.kill()
            worker.end(time.monotonic())
            if worker.process.exitcode == STARTUP_FAILED:
                logger.error("worker process %s could not start; stopping", worker.pid)
                self._failed = self._stopping = True
                return
            logger.error(
                "worker process %s died, exit code %s", worker.pid, worker.process.exitcode
            )
            self._workers[place] = self._start()

    def _replace_all(self) -> None:
        """One by one, each when its successor answers."""
        logger.info("replacing all workers")
        try:
            with _unblocked(_STOP):  # it may take minutes
                self._prepare()
        except Exception:
            # Whatever it was, the workers can start from what is there, and look for themselves.
            logger.exception("what workers share could not be brought up to date")
        for place, old in enumerate(self._workers):
            new = self._start()
            if not self._starts(new):
                new.process.kill()
                new.end(time.monotonic())
                if not self._stopping:
                    logger.error("process %s did not start; keeping worker %s", new.pid, old.pid)
                return
            self._workers[place] = new
            old.stop()
            old.end(self._deadline())

    def _starts(self, worker: _Worker) -> bool:
        while not self._stopping and worker.is_well():
            if worker.has_started:
                return True
            self._wait()
        return False

    def _stop_all(self) -> None:
        for worker in self._workers:
            worker.stop()
        deadline = self._deadline()
        for worker in self._workers:
            worker.end(deadline)

    def _deadline(self) -> float:
        return time.monotonic() + self._stop_s

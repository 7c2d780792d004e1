"""One `mutualrec retrain` as a process of its own: polite, limited in time, never left behind."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

logger = logging.getLogger(__name__)

TIMED_OUT = 124
"""Exit code of a training that was stopped because it took too long, as `timeout` has it."""


@dataclass(frozen=True)
class Limits:
    """What a training may take.

    Attributes:
        max_s: Seconds after which it is told to stop.
        grace_s: Seconds after which it is killed if it has not.
        nice: Its niceness.
        cores: The cores it may use; None for all.
    """

    max_s: float
    grace_s: float
    nice: int = 0
    cores: int | None = None


@dataclass(frozen=True)
class Ended:
    """How it ended: as `sys.exit` has it, `TIMED_OUT`, or minus the signal that killed it."""

    exit_code: int
    seconds: float


def retrain_command(catalog: str, home: Path) -> list[str]:
    """Return the command that retrains a catalog once."""
    options = ["--catalog", catalog, "--home", str(home)]
    return [sys.executable, "-m", "mutualrec.main", "retrain", *options]


def run_limited(command: Sequence[str], limits: Limits) -> Ended:
    """Run a command to its end or its limit.

    Whatever ends the wait, a signal to this process included, ends the command as well: first it
    is told to stop, and killed when it does not within its grace.
    """
    started = time.monotonic()
    # OpenMP's threads would otherwise spin while they wait for a core that they share.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    allowed = SimpleQueue[bool]()

    def spawn() -> subprocess.Popen[bytes] | None:
        if not allowed.get():
            return None
        # A session of its own: Ctrl-C reaches the scheduler only, which stops it in order.
        return subprocess.Popen(command, env=environment, start_new_session=True)

    # A signal interrupts this thread only, so that it cannot lose a process that was just made;
    # none is made before its future is held here.
    with ThreadPoolExecutor(1, thread_name_prefix="spawn") as spawner:
        spawned = None
        try:
            spawned = spawner.submit(spawn)
            allowed.put(True)
            process = spawned.result()
            assert process is not None
            _be_polite(process.pid, limits)
            code = process.wait(timeout=limits.max_s)
        except subprocess.TimeoutExpired:
            logger.error("the training is stopped: it took longer than %g s", limits.max_s)
            code = TIMED_OUT
        finally:
            allowed.put(False)
            made = None if spawned is None else spawned.result()
            if made is not None:
                _stop(made, limits.grace_s)
    return Ended(code, time.monotonic() - started)


def _be_polite(process: int, limits: Limits) -> None:
    # It may have ended already, which is no matter.
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, process, limits.nice)
        if limits.cores is not None and hasattr(os, "sched_setaffinity"):
            ours = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(process, ours[-limits.cores :])


def _stop(process: subprocess.Popen[bytes], grace_s: float) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=grace_s)
    except subprocess.TimeoutExpired:
        logger.error("the training did not end within %g s and is killed", grace_s)
    finally:
        # Its session, so that nothing it started is left.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

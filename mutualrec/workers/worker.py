"""One of several processes that serve."""

import gc
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from socket import socket
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from mutualrec.workers.one import application, server_of

if TYPE_CHECKING:
    import uvicorn

    from service.settings import Settings

ALIVE, STARTED = b"alive", b"started"
BEAT_S = 1.0
STARTUP_FAILED = 3
"""The exit code, uvicorn's as well, of a worker that would not start the next time either."""

_STARTING_BEAT_S = 0.1


@dataclass(frozen=True)
class Work:
    """What a worker is given.

    Attributes:
        settings: the service's.
        address: where to answer.
        server: what answers, not started, if the supervisor has made it for all.
    """

    settings: "Settings"
    address: socket
    server: "uvicorn.Server | None"


def work(given: Work, supervisor: int, beats: Connection) -> None:
    """Serve until told to stop, or until the supervisor is gone.

    Args:
        given: What to serve.
        supervisor: Its process id.
        beats: Where to tell it that this process lives, and whether it answers.
    """
    take_signals()
    gc.enable()
    server = given.server or server_of(given.settings, application(given.settings))
    threading.Thread(target=_beat, args=(server, supervisor, beats), daemon=True).start()
    server.run(sockets=[given.address])
    if not server.started:
        sys.exit(STARTUP_FAILED)


def take_signals() -> None:
    """Lifts what the supervisor blocks; what came meanwhile comes now."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, _stop)
    # Terminals send it to all; the supervisor replaces its workers in order.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """While uvicorn has no handlers yet, and when it has shut down in order."""
    raise SystemExit(0)


def _beat(server: "uvicorn.Server", supervisor: int, beats: Connection) -> None:
    """Nobody would watch or stop this worker any more when its supervisor was killed."""
    try:
        while os.getppid() == supervisor:
            beats.send_bytes(STARTED if server.started else ALIVE)
            time.sleep(BEAT_S if server.started else _STARTING_BEAT_S)
    except OSError:  # nobody listens
        pass
    os.kill(os.getpid(), signal.SIGTERM)

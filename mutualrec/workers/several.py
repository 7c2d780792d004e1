"""Several processes that serve, forked from one that has loaded what all of them share.

What it has in memory is there once, until a worker writes to it. It never has a thread, an event
loop or a connection, none of which a forked process can use. Where processes cannot be forked, each
is started anew and loads everything for itself.
"""

import gc
import importlib
import multiprocessing
import sys
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING

from mutualrec.workers.one import application, server_of, settle
from mutualrec.workers.supervisor import Supervisor
from mutualrec.workers.worker import Work, work

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from service.settings import Settings

# What a worker has after its requests to tell others that it goes.
_LAST_STEPS_S = 15.0


def run_several(settings: "Settings", address: socket) -> bool:
    """Serve in `settings.workers` processes; one that dies is replaced, SIGHUP replaces all.

    Returns:
        False if the service could not start.
    """
    from service.logs import configure_process_logging

    stop_s = settings.shutdown_timeout_s + _LAST_STEPS_S
    if not may_fork(settings):
        configure_process_logging(settings.log_level)
        target = partial(work, Work(settings, address, None))
        spawning = multiprocessing.get_context("spawn")
        return Supervisor(spawning, target, settings.workers, stop_s=stop_s).run()
    server, app = _loaded(settings)
    target = partial(work, Work(settings, address, server))
    forking = multiprocessing.get_context("fork")
    return Supervisor(
        forking, target, settings.workers, stop_s=stop_s, prepare=partial(_refresh, app)
    ).run()


def may_fork(settings: "Settings") -> bool:
    """Whether workers may be copies of a process that has loaded everything.

    The system libraries of macOS do not bear it, nor does a GPU that the first process has opened.
    """
    from service.index import check_index

    return _system_bears_it() and not check_index(settings.index)


def check_encoder(folder: Path) -> None:
    """Load an encoder of texts in a process of its own: its library leaves a thread behind.

    Raises:
        EncoderUnavailable: It cannot be used.
    """
    from service.encoding.encoder import TextEncoder
    from service.errors import EncoderUnavailable

    if not _system_bears_it():
        TextEncoder.load(folder)
        return
    forking = multiprocessing.get_context("fork")
    faults, fault = forking.Pipe(duplex=False)
    process = forking.Process(target=_load_encoder, args=(folder, fault))
    process.start()
    fault.close()
    try:
        found = faults.recv_bytes().decode()
    except EOFError:
        process.join()
        found = f"loading {folder} ended with exit code {process.exitcode}"
    process.join()
    if found:
        raise EncoderUnavailable(found)


def _system_bears_it() -> bool:
    return sys.platform != "darwin"


def _load_encoder(folder: Path, fault: Connection) -> None:
    from service.encoding.encoder import TextEncoder
    from service.errors import EncoderUnavailable

    found = ""
    try:
        TextEncoder.load(folder)
    except EncoderUnavailable as error:
        found = str(error)
    fault.send_bytes(found.encode())


def _loaded(settings: "Settings") -> "tuple[uvicorn.Server, FastAPI]":
    """What answers, with everything in memory that can be there before it runs."""
    gc.disable()  # what is freed now would be holes that every worker fills on pages of its own
    app = application(settings)
    with suppress(ImportError):  # FastAPI imports it when it starts, whatever we ask of it
        importlib.import_module("fastapi.telemetry._runtime")
    app.state.service.connect()
    app.middleware_stack = app.build_middleware_stack()
    server = server_of(settings, app)
    server.config.load()
    server.config.get_loop_factory()
    _refresh(app)
    return server, app


def _refresh(app: "FastAPI") -> None:
    gc.unfreeze()  # what nobody uses any more must be found
    app.state.service.catalogs.refresh()
    settle()

"""Processes that serve: this one, or several that a supervisor starts, watches and replaces."""

import gc
import os
import signal
import tempfile
import threading
import time
from contextlib import suppress
from socket import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

    from service.settings import Settings

_PARENT = "MUTUALREC_WORKER_OF"
_PARENT_CHECK_S = 1.0
# Importing takes its time on a busy machine; a worker that is silent for so long hangs.
_HEALTH_CHECK_S = 60
_YOUNG_OBJECTS = 10_000


def run_one(settings: "Settings", address: socket) -> bool:
    """Serve in this process until told to stop; False if the service could not start."""
    import uvicorn

    from service.app import create_app
    from service.logs import configure_process_logging

    app = create_app(settings, _spare_collector)
    configure_process_logging(settings.log_level)
    server = uvicorn.Server(uvicorn.Config(app, **_options(settings)))
    with suppress(KeyboardInterrupt):  # uvicorn has shut down in order and raises it again
        server.run(sockets=[address])
    return server.started


def run_several(settings: "Settings", address: socket) -> bool:
    """Serve in `settings.workers` processes; one that dies is replaced, SIGHUP replaces all."""
    import uvicorn
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors import Multiprocess

    from service.logs import configure_process_logging
    from service.metrics import WORKERS_FOLDER

    configure_process_logging(settings.log_level)
    with tempfile.TemporaryDirectory(prefix="mutualrec-metrics-") as folder:
        os.environ.update(_environ(settings), **{WORKERS_FOLDER: folder, _PARENT: str(os.getpid())})
        config = uvicorn.Config(
            "mutualrec.workers:worker",
            factory=True,
            workers=settings.workers,
            timeout_worker_healthcheck=_HEALTH_CHECK_S,
            **_options(settings),
        )
        supervisor = Multiprocess(config, sockets=[address])
        supervisor.run()
    return all(process.exitcode != STARTUP_FAILURE for process in supervisor.processes)


def worker() -> "FastAPI":
    """The application of one worker, with the settings its supervisor left in the environment."""
    from service.app import create_app
    from service.logs import configure_process_logging
    from service.settings import Settings

    parent = int(os.environ.pop(_PARENT))
    threading.Thread(target=_stop_without, args=(parent,), daemon=True).start()
    settings = Settings.load(os.environ)
    app = create_app(settings, _spare_collector)
    configure_process_logging(settings.log_level)
    return app


def _spare_collector() -> None:
    """Keeps the garbage collector from going through all that is there to stay, again and again.

    A request leaves no cycles, but enough objects behind it to set the collector off.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


# Any: arguments of several types.
def _options(settings: "Settings") -> dict[str, Any]:
    return {
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": settings.shutdown_timeout_s,
    }


def _environ(settings: "Settings") -> dict[str, str]:
    """What options or the private Valkey server may have changed."""
    return {
        "MUTUALREC_HOME": str(settings.home),
        "MUTUALREC_HOST": settings.host,
        "MUTUALREC_PORT": str(settings.port),
        "MUTUALREC_WORKERS": str(settings.workers),
        "MUTUALREC_REDIS_URL": str(settings.redis_url),
    }


def _stop_without(parent: int) -> None:
    """Ends this worker when its supervisor was killed: nobody would watch or stop it any more."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os.kill(os.getpid(), signal.SIGTERM)

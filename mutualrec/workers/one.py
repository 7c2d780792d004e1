"""Serving in a single process."""

import gc
from contextlib import suppress
from socket import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from service.settings import Settings

_YOUNG_OBJECTS = 10_000


def run_one(settings: "Settings", address: socket) -> bool:
    """Serve in this process until told to stop; False if the service could not start."""
    server = server_of(settings, application(settings))
    with suppress(KeyboardInterrupt):  # uvicorn has shut down in order and raises it again
        server.run(sockets=[address])
    return server.started


def application(settings: "Settings") -> "FastAPI":
    """The service, for a process that does nothing but serve."""
    from service.app import create_app
    from service.logs import configure_process_logging
    from service.memory import use_one_allocator

    use_one_allocator()
    app = create_app(settings, _spare_collector)
    configure_process_logging(settings.log_level)
    return app


def server_of(settings: "Settings", app: "FastAPI") -> "uvicorn.Server":
    """What answers HTTP with an application."""
    import uvicorn

    from service.draining import DrainingServer

    return DrainingServer(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nothing here depends on who asks, or through which proxy
            timeout_graceful_shutdown=settings.shutdown_timeout_s,
        )
    )


def _spare_collector() -> None:
    """Keeps the garbage collector from going through all that is there to stay, again and again.

    A request leaves no cycles, but enough objects behind it to set the collector off.
    """
    settle()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


def settle() -> None:
    """Gives free memory back and takes what is there out of the collector's sight.

    Whatever process is forked then shares it until one of them writes to it.
    """
    from service.memory import give_back

    gc.collect()
    gc.freeze()
    give_back()

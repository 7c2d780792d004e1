"""What clients see of a service that stops while they ask."""

import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager

import pytest
import uvicorn
from eventually import wait_until

from service.draining import DrainingServer

REQUEST = b"GET / HTTP/1.1\r\nHost: service\r\n\r\n"


async def answering(_scope: object, _receive: object, send: Callable[..., Awaitable[None]]) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


def answer(client: socket.socket) -> bytes:
    """Ask, and return all that came back."""
    client.sendall(REQUEST)
    came = b""
    while not came.endswith(b"ok"):
        part = client.recv(1000)
        assert part, "closed without an answer"
        came += part
    return came


class Stoppable:
    """A server in a thread of its own."""

    def __init__(self, http: str) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(answering, log_config=None, lifespan="off", http=http)
        self.server = DrainingServer(config)
        self._thread = threading.Thread(target=self.server.run, args=([self._listening],))

    def connect(self) -> socket.socket:
        return socket.create_connection(self._listening.getsockname(), timeout=30)

    def taken(self) -> int:
        return len(self.server.server_state.connections)

    def begin_to_stop(self) -> None:
        self.server.should_exit = True
        wait_until(lambda: not any(server.is_serving() for server in self.server.servers))

    def ended(self) -> bool:
        self._thread.join(timeout=30)
        return not self._thread.is_alive()

    @contextmanager
    def running(self) -> "Iterator[Stoppable]":
        self._thread.start()
        try:
            wait_until(lambda: self.server.started)
            yield self
        finally:
            self.server.should_exit = self.server.force_exit = True
            self._thread.join()
            self._listening.close()


@pytest.fixture(params=["httptools", "h11"])
def service(request: pytest.FixtureRequest) -> Iterator[Stoppable]:
    with Stoppable(request.param).running() as stoppable:
        yield stoppable


def test_who_connected_before_the_stop_and_asks_after_it_is_answered(service: Stoppable) -> None:
    with closing(service.connect()) as client:
        wait_until(lambda: service.taken() == 1)
        service.begin_to_stop()
        assert b" 200 " in answer(client)
        assert service.ended()


def test_a_kept_connection_is_told_with_its_next_answer_that_it_was_the_last(
    service: Stoppable,
) -> None:
    with closing(service.connect()) as client:
        assert b"connection: close" not in answer(client)
        service.begin_to_stop()
        assert b"connection: close" in answer(client)
        assert client.recv(1000) == b""
        assert service.ended()


def test_connections_that_stay_silent_do_not_keep_the_service(service: Stoppable) -> None:
    with closing(service.connect()), closing(service.connect()) as idle:
        assert answer(idle)
        wait_until(lambda: service.taken() == 2)
        service.begin_to_stop()
        assert service.ended()
        assert idle.recv(1000) == b""

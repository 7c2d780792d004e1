"""A driver of HTTP requests that costs little: raw connections, prepared bytes, no parsing.

It shares the machine with the service that it measures, so whatever it spends the service lacks.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

import numpy as np
import uvloop

_T = TypeVar("_T")
_TICK_S = 0.001
_BROKEN_S = 0.01
_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "

Inspect = Callable[[float, bytes], None]
"""Gets the time of an answer (`time.perf_counter`) and its body."""


@dataclass
class Outcome:
    """What came back.

    Attributes:
        seconds: how long the load lasted.
        finished: when each answer came, by `time.perf_counter`.
        latencies: seconds each request took; in an open loop since it was due.
        statuses: of each answer; 0 where the connection broke.
    """

    seconds: float = 0.0
    finished: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Good answers per second."""
        return sum(status in (200, 202) for status in self.statuses) / self.seconds

    @property
    def errors(self) -> int:
        """Answers that are neither 200 nor 202, broken connections included."""
        return sum(status not in (200, 202) for status in self.statuses)

    @property
    def server_errors(self) -> int:
        """Answers of 500 and above."""
        return sum(status >= 500 for status in self.statuses)

    def p99_ms(self, start: float = -np.inf, end: float = np.inf) -> float:
        """The 99th percentile of the latencies of answers that came in that time."""
        at = np.array(self.finished)
        chosen = np.array(self.latencies)[(at >= start) & (at < end)]
        return float(np.quantile(chosen, 0.99)) * 1000 if len(chosen) else float("nan")


def get(path: str) -> bytes:
    """The bytes of a GET request."""
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    """The bytes of a POST request with JSON."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def run(work: Coroutine[object, object, _T]) -> _T:
    """What the work returns, on a fast event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def each_once(port: int, requests: Sequence[bytes], connections: int = 8) -> Outcome:
    """Sends every request once."""
    outcome, pending, done = Outcome(), iter(requests), asyncio.Event()

    def following(connection: "_Connection") -> None:
        request = next(pending, None)
        if request is not None:
            connection.send(request, time.perf_counter())
        elif not any(one.is_waiting for one in open_ones):
            done.set()

    open_ones = await _connect(port, connections, outcome, following, None)
    start = time.perf_counter()
    for connection in open_ones:
        following(connection)
    await done.wait()
    outcome.seconds = time.perf_counter() - start
    await _close(open_ones)
    return outcome


async def closed_loop(
    port: int,
    requests: Sequence[bytes],
    seconds: float,
    connections: int = 32,
    inspect: Inspect | None = None,
) -> Outcome:
    """Full load: every connection sends its next request when it has the answer to the last."""
    outcome, pending = Outcome(), itertools.cycle(requests)
    stop_at = time.perf_counter() + seconds

    def following(connection: "_Connection") -> None:
        now = time.perf_counter()
        if now < stop_at:
            connection.send(next(pending), now)

    open_ones = await _connect(port, connections, outcome, following, inspect)
    start = time.perf_counter()
    for connection in open_ones:
        connection.send(next(pending), start)
    await asyncio.sleep(seconds)
    outcome.seconds = time.perf_counter() - start
    await _close(open_ones)
    return outcome


async def open_loop(
    port: int,
    requests: Sequence[bytes],
    per_second: float,
    seconds: float,
    connections: int = 64,
    inspect: Inspect | None = None,
) -> Outcome:
    """A steady rate, whatever the service does: a request that has to wait is late all the same.

    Requests leave once a millisecond, the shortest that the event loop sleeps: asked for less, it
    does not sleep, and the service would have to share its core with a driver that only waits. The
    millisecond counts as the request's own.
    """
    outcome, pending = Outcome(), itertools.cycle(requests)
    due: deque[float] = deque()
    free: deque[_Connection] = deque()

    def following(connection: "_Connection") -> None:
        if due:
            connection.send(next(pending), due.popleft())
        else:
            free.append(connection)

    open_ones = await _connect(port, connections, outcome, following, inspect)
    free.extend(open_ones)
    start = time.perf_counter()
    for when in _moments(start, per_second, seconds):
        while time.perf_counter() < when:
            await asyncio.sleep(_TICK_S)
        due.append(when)
        if free:
            free.popleft().send(next(pending), due.popleft())
    outcome.seconds = time.perf_counter() - start
    await _close(open_ones)
    return outcome


def _moments(start: float, per_second: float, seconds: float) -> Iterator[float]:
    for number in range(int(per_second * seconds)):
        yield start + number / per_second


async def _connect(
    port: int,
    count: int,
    outcome: Outcome,
    following: Callable[["_Connection"], None],
    inspect: Inspect | None,
) -> "list[_Connection]":
    made = [_Connection(port, outcome, following, inspect) for _ in range(count)]
    await asyncio.gather(*(connection.open() for connection in made))
    return made


async def _close(connections: "Sequence[_Connection]") -> None:
    """Waits for what is under way, then closes."""
    deadline = time.perf_counter() + 5.0
    while any(one.is_waiting for one in connections) and time.perf_counter() < deadline:
        await asyncio.sleep(0.005)
    for connection in connections:
        connection.close()


class _Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request under way.

    Servers close what was idle for some seconds; it is opened again for the next request, as by any
    client.
    """

    def __init__(
        self,
        port: int,
        outcome: Outcome,
        following: Callable[["_Connection"], None],
        inspect: Inspect | None,
    ) -> None:
        self.is_waiting = False
        self._port = port
        self._outcome = outcome
        self._following = following
        self._inspect = inspect
        self._received = b""
        self._since = 0.0
        self._closed = True
        self._ended = False
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connects."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", self._port)

    def send(self, request: bytes, since: float) -> None:
        """Sends a request that was due at `since`."""
        self.is_waiting, self._since = True, since
        if self._ended:
            self._fail()
        elif self._closed:
            self._opening = asyncio.create_task(self._send_anew(request))
        else:
            self._transport.write(request)

    def close(self) -> None:
        """Ends the connection."""
        self._ended = True
        self._transport.close()

    async def _send_anew(self, request: bytes) -> None:
        try:
            await self.open()
        except OSError:
            self._fail()
        else:
            self._transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self._closed, self._received = False, b""

    def data_received(self, received: bytes) -> None:
        """See `asyncio.Protocol`."""
        content = self._received + received if self._received else received
        head = content.find(_END)
        at = content.find(_LENGTH, 0, head + 2)
        if head < 0 or at < 0:
            self._received = content
            return
        start = at + len(_LENGTH)
        length = int(content[start : content.index(b"\r", start)])
        body = head + len(_END)
        if len(content) < body + length:
            self._received = content
            return
        self._received = b""
        if self._inspect is not None:
            self._inspect(time.perf_counter(), content[body:])
        self._note(int(content[9:12]))
        self._following(self)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        """See `asyncio.Protocol`."""
        self._closed = True
        if self.is_waiting:
            self._fail()

    def _fail(self) -> None:
        self._note(0)
        asyncio.get_running_loop().call_later(_BROKEN_S, self._following, self)

    def _note(self, status: int) -> None:
        now = time.perf_counter()
        self.is_waiting = False
        self._outcome.finished.append(now)
        self._outcome.latencies.append(now - self._since)
        self._outcome.statuses.append(status)

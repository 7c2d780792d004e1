"""Proxies that drop, delay and repeat what goes through them, at random."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 1 << 16
_HEAD_END = b"\r\n\r\n"

_Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Faults:
    """How often each fault happens, per reply; `done` counts what happened.

    Attributes:
        drop: share of replies that are lost: half of them with the connection.
        delay: share of replies that come late, after up to `longest_delay_s`.
        repeat: share of replies (to Redis' clients) or requests (to the service) that come twice.
        longest_delay_s: longer than the clients' patience.
    """

    rng: random.Random
    drop: float = 0.03
    delay: float = 0.05
    repeat: float = 0.03
    longest_delay_s: float = 0.5
    done: Counter[str] = field(default_factory=Counter)

    def draw(self) -> str:
        """What happens to the next reply."""
        chance = self.rng.random()
        for name, share in (("drop", self.drop), ("delay", self.delay), ("repeat", self.repeat)):
            if chance < share:
                self.done[name] += 1
                return name
            chance -= share
        return ""

    async def wait(self) -> None:
        """The time by which a reply is late."""
        await asyncio.sleep(self.rng.uniform(0, self.longest_delay_s))


@asynccontextmanager
async def redis_proxy(port: int, faults: Faults) -> AsyncIterator[int]:
    """Before a Redis server; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        requests = asyncio.create_task(_copy(reader, server_writer))
        try:
            while reply := await server_reader.read(_CHUNK):
                fault = faults.draw()
                if fault == "drop":
                    if faults.rng.random() < 0.5:
                        return
                    continue
                if fault == "delay":
                    await faults.wait()
                writer.write(reply + reply if fault == "repeat" else reply)
                await writer.drain()
        finally:
            requests.cancel()
            await asyncio.gather(requests, return_exceptions=True)
            await _close(server_writer)

    async with _listening(serve) as listening_port:
        yield listening_port


@asynccontextmanager
async def http_proxy(port: int, faults: Faults) -> AsyncIterator[int]:
    """Before the service; yields its port. It asks twice, as proxies do that retry."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await _message(reader)
            fault = faults.draw()
            replies = [_ask(port, request)] + ([_ask(port, request)] if fault == "repeat" else [])
            reply, *_ = await asyncio.gather(*replies)
            if fault == "drop":
                return
            if fault == "delay":
                await faults.wait()
            writer.write(reply)
            await writer.drain()

    async with _listening(serve) as listening_port:
        yield listening_port


async def _ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await _message(reader)
    finally:
        await _close(writer)


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A request or an answer whose length its head tells."""
    head = await reader.readuntil(_HEAD_END)
    lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    length = next((int(value) for name, _, value in lines if name == b"content-length"), 0)
    return head + await reader.readexactly(length)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, asyncio.CancelledError):  # the proxy may be ending
        await writer.wait_closed()


@asynccontextmanager
async def _listening(serve: _Serve) -> AsyncIterator[int]:
    connections: set[asyncio.Task[None]] = set()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # Either side went away, which is a fault like the others, or the proxy ends.
        finally:
            await _close(writer)
            connections.discard(task)

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

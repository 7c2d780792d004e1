"""The driver of the load benchmark counts what came back, and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.load.driver import Outcome, closed_loop, each_once, get, open_loop, post, run
from benchmarks.load.faults import growth_percent

Handle = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def answer(status: int, body: bytes) -> bytes:
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def against(handle: Handle, load: Callable[[int], Awaitable[Outcome]]) -> Outcome:
    """What a load gives that is put on a server which handles heads of requests so."""

    async def work() -> Outcome:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    await handle(await reader.readuntil(b"\r\n\r\n"), writer)
            except asyncio.IncompleteReadError:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        outcome = await load(server.sockets[0].getsockname()[1])
        server.close()
        return outcome

    return run(work())


async def in_two_parts(request: bytes, writer: asyncio.StreamWriter) -> None:
    content = answer(200, request.split()[1])
    writer.write(content[:10])
    await writer.drain()
    await asyncio.sleep(0)
    writer.write(content[10:])


def test_every_request_is_sent_once_and_answers_may_come_in_parts() -> None:
    asked = [get(f"/{number}") for number in range(50)]
    outcome = against(in_two_parts, lambda port: each_once(port, asked, 3))
    assert outcome.statuses == [200] * 50
    assert outcome.errors == 0


def test_bodies_are_handed_over_whole() -> None:
    seen: set[bytes] = set()
    asked = [get("/a"), get("/b")]
    against(
        in_two_parts,
        lambda port: closed_loop(port, asked, 0.05, 2, lambda _, body: seen.add(body)),
    )
    assert seen == {b"/a", b"/b"}


def test_broken_connections_and_refusals_are_errors() -> None:
    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/gone" in request:
            writer.transport.abort()
        else:
            writer.write(answer(503, b"{}"))

    refused = against(handle, lambda port: each_once(port, [get("/busy")]))
    assert (refused.errors, refused.server_errors) == (1, 1)
    broken = against(handle, lambda port: each_once(port, [get("/gone")], 1))
    assert (broken.errors, broken.server_errors) == (1, 0)


def test_an_idle_connection_that_was_closed_is_opened_again() -> None:
    async def closes(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(200, request.split()[1]))
        writer.close()

    outcome = against(closes, lambda port: open_loop(port, [get("/x")], 200, 0.25, 2))
    # A request may cross the end of the connection it is sent on, which is an error.
    assert (len(outcome.statuses), outcome.statuses.count(200) > 25) == (50, True)


def test_a_steady_rate_counts_the_time_that_a_request_had_to_wait() -> None:
    async def stalls_once(request: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/slow" in request:
            await asyncio.sleep(0.05)
        writer.write(answer(200, b""))

    asked = [get("/slow"), *[get("/quick")] * 19]
    outcome = against(stalls_once, lambda port: open_loop(port, asked, 1000, 0.02, 1))
    assert len(outcome.statuses) == 20
    # All but the slow one were due while it kept the only connection.
    assert sorted(outcome.latencies)[1] > 0.02


def test_a_steady_rate_sleeps_between_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    slept, sleep = [], asyncio.sleep

    async def noting(seconds: float) -> None:
        slept.append(seconds)
        await sleep(seconds)

    async def answers(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(200, request.split()[1]))

    monkeypatch.setattr(asyncio, "sleep", noting)
    outcome = against(answers, lambda port: open_loop(port, [get("/x")], 1700, 0.05))
    assert outcome.statuses == [200] * 85
    # uvloop counts in milliseconds: what is asked to sleep half of one comes back at once.
    assert min(slept) >= 0.001


def test_posts_say_how_long_they_are() -> None:
    assert post("/interactions", b"[]").endswith(b"content-length: 2\r\n\r\n[]")


def test_growth_leaves_the_warm_up_out() -> None:
    assert growth_percent([1, 2, 10, 10, 10, 10, 11, 11]) == 10.000000000000009

"""Reads that are asked for at the same time share a round trip."""

import asyncio
import selectors
from collections.abc import Coroutine

import pytest
import redis

from service.errors import StoreUnavailable
from service.events import keys_of, partition_of
from service.store.reads import MAX_READS, Reads, ServerReads, exchange


class RoundTrips:
    """Replies with what was asked; a round trip ends when it is let go."""

    def __init__(self) -> None:
        self.sent: list[list[object]] = []
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self, commands):
        self.sent.append(list(commands))
        await self.may_end.wait()
        return list(commands)


def test_what_is_asked_at_once_is_one_round_trip() -> None:
    async def work() -> None:
        trips = RoundTrips()
        reads = Reads(trips)
        assert await asyncio.gather(*map(reads.read, "abc")) == ["a", "b", "c"]
        assert trips.sent == [["a", "b", "c"]]

    asyncio.run(work())


def test_what_is_under_way_can_be_waited_for_when_nobody_asks_any_more() -> None:
    async def work() -> None:
        trips = RoundTrips()
        trips.may_end.clear()
        reads = Reads(trips)
        asked = asyncio.create_task(reads.read("a"))
        await asyncio.sleep(0)
        asked.cancel()
        finished = asyncio.create_task(reads.finish())
        await asyncio.sleep(0)
        assert not finished.done()
        trips.may_end.set()
        await finished
        assert trips.sent == [["a"]]

    asyncio.run(work())


def test_what_is_asked_during_a_round_trip_goes_together_with_the_next() -> None:
    async def work() -> None:
        trips = RoundTrips()
        trips.may_end.clear()
        reads = Reads(trips)
        first = asyncio.ensure_future(reads.read("a"))
        while not trips.sent:
            await asyncio.sleep(0)
        others = [asyncio.ensure_future(reads.read(name)) for name in "bc"]
        trips.may_end.set()
        assert await asyncio.gather(first, *others) == ["a", "b", "c"]
        assert trips.sent == [["a"], ["b", "c"]]

    asyncio.run(work())


def test_a_round_trip_has_a_largest_size() -> None:
    async def work() -> None:
        trips = RoundTrips()
        wanted = list(range(MAX_READS + 1))
        assert await asyncio.gather(*map(Reads(trips).read, wanted)) == wanted
        assert [len(sent) for sent in trips.sent] == [MAX_READS, 1]

    asyncio.run(work())


def test_a_failed_round_trip_fails_all_its_reads_and_none_after_it() -> None:
    async def work() -> None:
        faults = [StoreUnavailable("no reply")]

        async def send(commands):
            if faults:
                raise faults.pop()
            return list(commands)

        reads = Reads(send)
        failed = await asyncio.gather(*map(reads.read, "ab"), return_exceptions=True)
        assert [type(reply) for reply in failed] == [StoreUnavailable] * 2
        assert await reads.read("c") == "c"

    asyncio.run(work())


def test_whoever_went_away_does_not_disturb_the_others() -> None:
    async def work() -> None:
        trips = RoundTrips()
        trips.may_end.clear()
        reads = Reads(trips)
        gone, stays = (asyncio.ensure_future(reads.read(name)) for name in "ab")
        while not trips.sent:
            await asyncio.sleep(0)
        gone.cancel()
        trips.may_end.set()
        assert await stays == "b"

    asyncio.run(work())


def redis_operations(client) -> int:
    return client.state.metrics._registry.get_sample_value(
        "mutualrec_stage_seconds_count", {"stage": "redis"}
    )


@pytest.mark.parametrize(
    "body",
    [{"users": [f"u{row}" for row in range(20)]}, {"users": ["u1"], "session_id": "s1"}],
    ids=["many users", "a user in a session"],
)
def test_a_batch_costs_one_round_trip(start, deploy, redis_url, body) -> None:
    deploy()
    client = start(redis_url=redis_url)
    before = redis_operations(client)
    assert client.post("/recommend", json=body).status_code == 200
    assert redis_operations(client) == before + 1


def test_a_key_that_cannot_be_read_degrades_its_user_only(start, deploy, redis_url) -> None:
    deploy()
    with redis.Redis.from_url(redis_url) as server:
        server.set(keys_of("default", partition_of("u1")).history("u1"), "no history")
    client = start(redis_url=redis_url)
    results = client.post("/recommend", json={"users": ["u1", "u2"]}).json()["results"]
    assert [answer["degraded"] for answer in results] == [True, False]
    assert client.get("/recommend/u2").json()["degraded"] is False


class Moment(selectors.SelectSelector):
    """Waits no moment, but says how long it would have waited."""

    passed = 0.0

    def select(self, timeout=None):
        self.passed += timeout or 0.0
        return super().select(0)


def within(work: Coroutine):
    """Run to the end by a clock that goes on only where everybody waits."""
    moment = Moment()
    loop = asyncio.SelectorEventLoop(moment)
    loop.time = lambda: moment.passed
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work)


class Connection:
    """Replies as often as told, a little late each time, and is silent then."""

    socket_timeout = 0.2

    def __init__(self, replies: int) -> None:
        self.left = replies
        self.is_closed = False

    async def send_packed_command(self, packed):
        self.packed = packed

    async def read_response(self, **_):
        self.left -= 1
        await asyncio.sleep(0.01 if self.left >= 0 else 5.0)
        return []

    async def disconnect(self, **_):
        self.is_closed = True


class Lending:
    """A client whose pool has one connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection_pool = self
        self.connection = connection

    async def get_connection(self):
        return self.connection

    async def release(self, connection):
        assert connection is self.connection


def test_replies_that_keep_coming_may_take_longer_together_than_one_may() -> None:
    connection = Connection(40)
    replies = within(exchange(Lending(connection), [("HGETALL", "k")] * 40))
    assert replies == [[]] * 40
    assert not connection.is_closed


def test_a_server_that_falls_silent_between_replies_is_given_up_and_its_connection_closed() -> None:
    connection = Connection(20)

    async def work() -> float:
        with pytest.raises(redis.TimeoutError, match="10 of 30 replies are late"):
            await exchange(Lending(connection), [("HGETALL", "k")] * 30)
        return asyncio.get_running_loop().time()

    # The limit was set anew when 16 replies had come, .01 s each.
    assert within(work()) == pytest.approx(0.16 + Connection.socket_timeout)
    assert connection.is_closed


MARK = object()
"""What stands for the reply to the ECHO that ends a round trip."""


class Server(Connection):
    """Has a stream of replies, which also are in it when nobody asked; its own client and pool."""

    def __init__(self, *replies: object) -> None:
        super().__init__(0)
        self.connection_pool = self
        self.replies = list(replies)
        self.lent = 0
        self.is_lent = False

    async def get_connection(self):
        assert not self.is_lent
        self.lent += 1
        self.is_lent = True
        return self

    async def release(self, connection):
        assert connection is self
        self.is_lent = False

    async def read_response(self, **_):
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        # The last command sent is ECHO with what it repeats.
        return self.packed.split(b"\r\n")[-2] if reply is MARK else reply


def test_reads_keep_their_connection() -> None:
    async def work() -> None:
        server = Server(b"first", MARK, b"second", MARK)
        reads = ServerReads(server)
        assert await reads.read([("GET", "k")]) == [b"first"]
        assert await reads.read([("GET", "k")]) == [b"second"]
        assert (server.lent, server.is_lent) == (1, True)

    asyncio.run(work())


def test_a_reply_too_many_is_never_taken_for_that_to_the_next_read() -> None:
    async def work() -> None:
        server = Server(b"one", MARK, b"nobody asked for this", b"two", MARK)
        reads = ServerReads(server)
        assert await reads.read([("GET", "a")]) == [b"one"]
        with pytest.raises(redis.ConnectionError, match="belongs to another request"):
            await reads.read([("GET", "b")])
        assert (server.is_closed, server.is_lent) == (True, False)

    asyncio.run(work())


def test_after_a_lost_connection_the_next_read_takes_another() -> None:
    async def work() -> None:
        server = Server(redis.ConnectionError("gone"), b"again", MARK)
        reads = ServerReads(server)
        with pytest.raises(redis.ConnectionError, match="gone"):
            await reads.read([("GET", "k")])
        assert (server.is_closed, server.is_lent) == (True, False)
        assert await reads.read([("GET", "k")]) == [b"again"]
        assert server.lent == 2

    asyncio.run(work())


def test_a_server_that_refuses_everything_fails_the_read() -> None:
    refused = redis.ResponseError("NOAUTH")
    server = Server(refused, refused)
    with pytest.raises(redis.ResponseError, match="NOAUTH"):
        asyncio.run(ServerReads(server).read([("GET", "k")]))
    assert (server.is_closed, server.is_lent) == (True, False)


def test_one_refused_command_is_an_error_in_its_place() -> None:
    refused = redis.ResponseError("WRONGTYPE")
    reads = ServerReads(Server(b"first", refused, MARK))
    assert asyncio.run(reads.read([("GET", "a"), ("GET", "b")])) == [b"first", refused]

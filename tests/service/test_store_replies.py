import asyncio

import pytest
import redis
from lossy_proxies import repeating_proxy
from redis.asyncio.connection import Connection
from stored_events import EVENTS, NOW_MS, event, library_is_loaded, run

from service.errors import StoreUnavailable
from service.events import PARTITIONS, SessionInteraction
from service.settings import Settings
from service.store.appending import Appender
from service.store.client import EventStore
from service.store.functions import TOKEN_ARGUMENT
from service.store.packing import packing
from service.store.sessions import Sessions


@pytest.fixture
def server(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


def test_a_reply_that_belongs_to_another_request_is_not_believed(redis_url, server):
    async def main():
        async with repeating_proxy(redis_url, b"mr_ingest") as url:
            store = EventStore(url, Settings(redis_timeout_s=2.0))
            first = await store.append("default", [event(event_id="1")], {})
            again = await store.append("default", [event(event_id="1")], {})
            new = await store.append("default", [event(event_id="2")], {})
            await store.close()
            return first, again, new

    with redis.Redis.from_url(redis_url) as client:
        library_is_loaded(client)
    assert asyncio.run(main()) == ([True], [False], [True])
    assert server.xlen(EVENTS) == 2


def test_a_reply_about_a_session_that_belongs_to_another_request_is_not_believed(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        library_is_loaded(client)

    def of_session(event_id: str) -> SessionInteraction:
        values = {"session_id": "s", "item_id": "i", "event_id": event_id}
        return SessionInteraction.model_validate(values, context={"now_ms": NOW_MS})

    async def main():
        async with repeating_proxy(redis_url, b"mr_session") as url:
            store = EventStore(url, Settings.load({}, redis_timeout_s=5.0))
            sessions = Sessions(store, Settings.load({}))
            first = await sessions.append("default", [of_session("a")])
            again = await sessions.append("default", [of_session("a")])
            await store.close()
            return first, again

    assert asyncio.run(main()) == ([True], [False])


def test_every_call_of_a_request_has_a_token_of_its_own():
    tokens: list[object] = []

    async def call(_name, calls):
        tokens.extend(arguments[TOKEN_ARGUMENT] for _, arguments in calls)
        return [[1] * ((len(keys) - 1) // 2) for keys, _ in calls]

    async def main():
        values = [event(str(n), user_id=f"u{n}") for n in range(64)]
        return await Appender(call, Settings.load({})).append("default", values, {})

    assert asyncio.run(main()) == [True] * 64
    assert len(set(tokens)) == len(tokens) == PARTITIONS


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed"),
        AttributeError("no attribute 'writelines'", name="writelines", obj=None),
    ],
)
def test_a_connection_closed_under_an_operation_is_no_defect(redis_url, error):
    async def fail(_redis):
        raise error

    with pytest.raises(StoreUnavailable, match="closed"):
        run(redis_url, lambda store: store.execute(fail))


@pytest.mark.parametrize("error", [RuntimeError("a defect"), AttributeError("x", name="x", obj=1)])
def test_a_defect_stays_one(redis_url, error):
    async def fail(_redis):
        raise error

    with pytest.raises(type(error)):
        run(redis_url, lambda store: store.execute(fail))


@pytest.mark.parametrize(
    "arguments",
    [("GET", "a"), ("CONFIG GET", "appendonly"), ("SET", b"\x00\xff", "日本", 1, -2.5), ("PING",)],
)
def test_commands_are_packed_as_the_library_packs_them(arguments):
    kind = packing(Connection)
    assert b"".join(kind().pack_command(*arguments)) == b"".join(
        Connection().pack_command(*arguments)
    )

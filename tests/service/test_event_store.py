import asyncio

import pytest
import redis
from lossy_proxies import dropping_proxy
from stored_events import EVENTS, NOW_MS, event, library_is_loaded, run

from service.errors import StoreFull, StoreUnavailable
from service.events import keys_of, partition_of
from service.settings import Settings
from service.store.client import EventStore, HistoryItem


@pytest.fixture
def server(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


def test_an_event_enters_the_stream_and_the_history(redis_url, server):
    async def work(store):
        taken = await store.append("default", [event()], {})
        return taken, await store.history("default", "u")

    assert run(redis_url, work) == ([True], [HistoryItem("i", True, NOW_MS, {"view": NOW_MS})])
    assert server.xlen(EVENTS) == 1


def test_a_repeated_event_id_is_a_duplicate(redis_url, server):
    async def work(store):
        await store.append("default", [event()], {})
        return await store.append("default", [event(), event("j", "f")], {})

    assert run(redis_url, work) == [False, True]
    assert server.xlen(EVENTS) == 2


def test_a_repetition_within_one_batch_is_a_duplicate(redis_url, server):
    assert run(redis_url, lambda store: store.append("default", [event(), event()], {})) == [
        True,
        False,
    ]
    assert server.xlen(EVENTS) == 1


def test_a_batch_over_many_partitions_keeps_its_order(redis_url, server):
    events = [event(event_id=str(n), user_id=str(n)) for n in range(100)]

    async def work(store):
        await store.append("default", events[::2], {})
        return await store.append("default", events, {})

    assert run(redis_url, work) == [False, True] * 50
    assert sum(server.xlen(keys_of("default", p).events) for p in range(16)) == 100


def test_neutral_events_stay_out_of_the_history(redis_url, server):
    async def work(store):
        await store.append("default", [event(type="impression")], {"impression": "neutral"})
        return await store.history("default", "u")

    assert run(redis_url, work) == []
    assert server.xlen(EVENTS) == 1


def test_the_later_sign_of_an_item_holds(redis_url):
    events = [
        event("i", "1", timestamp=NOW_MS - 1, type="hide"),
        event("i", "2", timestamp=NOW_MS),
        event("j", "3", timestamp=NOW_MS - 1),
        event("j", "4", timestamp=NOW_MS, type="hide"),
    ]

    async def work(store):
        await store.append("default", events, {"hide": "negative"})
        return await store.history("default", "u")

    assert sorted(run(redis_url, work), key=lambda item: item.item_id) == [
        HistoryItem("i", True, NOW_MS, {"view": NOW_MS}),
        HistoryItem("j", False, NOW_MS, {"hide": NOW_MS}),
    ]


def test_a_history_tells_when_which_type_of_event_was_last(redis_url):
    events = [
        event("i", "1", timestamp=NOW_MS - 3),
        event("i", "2", timestamp=NOW_MS - 2, type="buy"),
        event("i", "3", timestamp=NOW_MS - 1),
    ]

    async def work(store):
        await store.append("default", events, {})
        return await store.history("default", "u")

    types = {"view": NOW_MS - 1, "buy": NOW_MS - 2}
    assert run(redis_url, work) == [HistoryItem("i", True, NOW_MS - 1, types)]


def test_the_history_keeps_only_the_newest_items_and_expires(redis_url, server):
    events = [event(f"i{n}", str(n), timestamp=NOW_MS - 10 + n) for n in range(10)]

    async def work(store):
        await store.append("default", events, {})
        return [item.item_id for item in await store.history("default", "u")]

    settings = {"history_cap": 3, "history_ttl_s": 100, "dedupe_ttl_s": 50}
    assert run(redis_url, work, **settings) == ["i7", "i8", "i9"]
    keys = keys_of("default", partition_of("u"))
    assert 90 <= server.ttl(keys.history("u")) <= 100
    assert 40 <= server.ttl(keys.dedupe("3")) <= 50


def test_catalogs_do_not_share_events(redis_url):
    async def work(store):
        await store.append("default", [event()], {})
        taken = await store.append("funds", [event()], {})
        return taken, await store.history("other", "u")

    assert run(redis_url, work) == ([True], [])


def test_the_function_comes_back_after_it_was_deleted(redis_url, server):
    async def work(store):
        await store.append("default", [event()], {})
        server.function_flush()
        return await store.append("default", [event(event_id="f")], {})

    assert run(redis_url, work) == [True]


def test_ids_with_any_character_survive(redis_url):
    user_id, item_id = "a/b\n{p01}:\x00", "日本 \n'\""

    async def work(store):
        await store.append("default", [event(item_id, user_id=user_id)], {})
        return await store.history("default", user_id)

    assert run(redis_url, work) == [HistoryItem(item_id, True, NOW_MS, {"view": NOW_MS})]


def test_more_requests_than_connections_wait_instead_of_failing(redis_url):
    async def work(store):
        return await asyncio.gather(*(store.history("default", str(n)) for n in range(200)))

    assert len(run(redis_url, work, redis_max_connections=4, redis_timeout_s=5.0)) == 200


def test_a_dead_server_is_an_error_with_a_time_to_come_back():
    async def work(store):
        with pytest.raises(StoreUnavailable) as failure:
            await store.append("default", [event()], {})
        assert failure.value.retry_after_s == 1
        with pytest.raises(StoreUnavailable):
            await store.history("default", "u")
        return await store.ping()

    assert run("unix:///nowhere/redis.sock", work) is False


def test_a_lost_reply_leaves_exactly_one_entry_and_is_reported_as_taken(redis_url, server):
    async def main():
        async with dropping_proxy(redis_url, b"mr_ingest") as (url, drops):
            store = EventStore(url, Settings(redis_timeout_s=2.0))
            taken = await store.append("default", [event()], {})
            await store.close()
            return taken, len(drops)

    with redis.Redis.from_url(redis_url) as client:
        library_is_loaded(client)
    assert asyncio.run(main()) == ([True], 1)
    assert server.xlen(EVENTS) == 1


def test_negative_events_are_not_capped(redis_url):
    signs = {"hide": "negative", "view": "positive"}
    hidden = [event(f"n{n}", f"h{n}", type="hide", timestamp=NOW_MS - 99 + n) for n in range(5)]
    seen = [event(f"p{n}", f"v{n}", timestamp=NOW_MS - 9 + n) for n in range(5)]

    async def work(store):
        await store.append("default", hidden + seen, signs)
        return await store.history("default", "u")

    history = run(redis_url, work, history_cap=2)
    assert [item.item_id for item in history] == ["n0", "n1", "n2", "n3", "n4", "p3", "p4"]
    assert [item.positive for item in history] == [False] * 5 + [True] * 2
    assert [item.timestamp for item in history[:2]] == [NOW_MS - 99, NOW_MS - 98]


@pytest.mark.parametrize(
    ("view_after_ms", "positive"),
    [(1, True), (0, False), (-1, False)],
    ids=["after", "tie", "before"],
)
def test_the_newest_sign_holds_whichever_event_arrives_last(redis_url, view_after_ms, positive):
    signs = {"hide": "negative", "view": "positive"}
    hide = event("i", "h", type="hide", timestamp=NOW_MS - 50)
    view = event("i", "v", timestamp=NOW_MS - 50 + view_after_ms)

    async def work(store):
        await store.append("default", [view], signs)
        await store.append("default", [hide], signs)
        return await store.history("default", "u")

    [item] = run(redis_url, work)
    assert item.positive is positive


def test_a_full_stream_refuses_new_events_and_keeps_all_it_has(redis_url, server):
    async def work(store):
        await store.append("default", [event(event_id="1"), event(event_id="2")], {})
        with pytest.raises(StoreFull) as failure:
            await store.append("default", [event(event_id="1"), event(event_id="3")], {})
        return failure.value

    # 16 partitions of two entries each.
    error = run(redis_url, work, max_waiting_events=32)
    assert (error.refused, error.num_events) == ((1,), 2)
    assert error.retry_after_s >= 1
    assert [fields[b"e"] for _, fields in server.xrange(EVENTS)] == [b"1", b"2"]


def test_events_are_taken_again_once_the_full_stream_was_drained(redis_url, server):
    async def work(store):
        await store.append("default", [event(event_id="1")], {})
        with pytest.raises(StoreFull):
            await store.append("default", [event(event_id="2")], {})
        server.xtrim(EVENTS, maxlen=0, approximate=False)
        return await store.append("default", [event(event_id="2")], {})

    assert run(redis_url, work, max_waiting_events=16) == [True]


def test_requests_of_one_moment_share_round_trips_and_hear_of_their_own_events(redis_url, server):
    async def work(store):
        await store.append("default", [event(event_id="0")], {})
        before = server.info("commandstats")["cmdstat_fcall"]["calls"]
        taken = await asyncio.gather(
            *(store.append("default", [event(event_id=str(n % 50))], {}) for n in range(100))
        )
        return taken, server.info("commandstats")["cmdstat_fcall"]["calls"] - before

    taken, calls = run(redis_url, work)
    assert taken == [[False]] + [[True]] * 49 + [[False]] * 50
    assert calls < 10
    assert server.xlen(EVENTS) == 50


def test_a_request_that_is_given_up_takes_no_other_one_with_it(redis_url):
    async def work(store):
        given_up = asyncio.create_task(store.append("default", [event(event_id="1")], {}))
        other = asyncio.create_task(store.append("default", [event(event_id="2")], {}))
        await asyncio.sleep(0)
        given_up.cancel()
        return await other

    assert run(redis_url, work) == [True]

"""The estimate of memory, and that its constants are those of a real server."""

import asyncio
import time

import redis

from service.capacity import EVENT_BYTES, EVENT_ID_BYTES, HISTORY_ITEM_BYTES, Load, estimate
from service.events import Interaction
from service.settings import Settings
from service.store.client import EventStore

LOAD = Load(
    num_users=1000,
    num_items=500,
    width=10,
    events_per_day=86_400,
    active_users=100,
    items_per_history=10,
    drain_every_s=3600,
    dedupe_ttl_s=7200,
    workers=2,
)


def test_the_parts_add_up():
    needed = estimate(LOAD)
    assert needed.redis["events that wait to be drained"] == 3600 * EVENT_BYTES
    assert needed.redis["event ids that are remembered"] == 7200 * EVENT_ID_BYTES
    assert needed.shared == {"vectors": 1500 * 10 * 4}
    assert needed.redis_bytes == sum(needed.redis.values())


def test_a_worker_more_adds_no_vectors():
    one, two = estimate(LOAD), estimate(Load(**{**vars(LOAD), "workers": 3}))
    assert two.service_bytes - one.service_bytes == sum(one.per_worker.values())


def test_every_worker_keeps_the_vectors_of_a_small_catalog_a_second_time():
    def copy(num_items: int) -> int:
        needed = estimate(Load(**{**vars(LOAD), "num_items": num_items, "width": 100}))
        return needed.per_worker["vectors of a small catalog, transposed"]

    assert copy(1_000) == 0
    assert copy(10_000) == 10_000 * 100 * 4
    assert copy(100_000) == 0


def test_bytes_per_event_are_those_of_a_real_server(redis_url):
    now = time.time_ns() // 1_000_000
    events = [
        Interaction.model_validate(
            {
                "event_id": f"{number:036d}",
                "user_id": f"user-{number % 100:05d}",
                "item_id": f"item-{number // 100:05d}",
                "type": "view",
                "timestamp": now,
            },
            context={"now_ms": now},
        )
        for number in range(5000)
    ]

    async def append() -> None:
        store = EventStore(redis_url, Settings.load({}, redis_timeout_s=10))
        await store.append("default", events, {})
        await store.close()

    with redis.Redis.from_url(redis_url) as client:
        before = client.info("memory")["used_memory"]
        asyncio.run(append())
        taken = client.info("memory")["used_memory"] - before
    estimated = EVENT_BYTES + EVENT_ID_BYTES + HISTORY_ITEM_BYTES
    assert 0.6 < taken / len(events) / estimated < 1.6

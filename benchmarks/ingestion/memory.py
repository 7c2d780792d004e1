"""Bytes of Redis per event and per user, and whether draining gives them back."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from benchmarks.servers import Server
from service.events import PARTITIONS, Interaction, keys_of, partition_of
from service.settings import Settings
from service.store.client import EventStore
from training.event_log import drain

ITEMS_PER_USER = 50
_CYCLES = 4
_AT_ONCE = 2_000
_EXPIRY_TIMEOUT_S = 60.0
_POLL_S = 0.1


@dataclass(frozen=True)
class Memory:
    """Bytes.

    Attributes:
        event: of an event that waits in a stream.
        event_id: of a known event id, while repetitions are recognised.
        user: of a history.
        items_per_user: items in that history.
        growth_percent: how much more memory is used after the last draining than after the first,
            when the same users have sent as many events as before, again and again.
    """

    event: float
    event_id: float
    user: float
    items_per_user: int
    growth_percent: float


def memory(server: Server, home: Path, num_users: int) -> Memory:
    """Fill a server that is empty, and drain it again and again."""
    with Redis(port=server.port) as client:
        empty = _used(client)
        _send(server.url, num_users, 0, Settings.load({}))
        num_events = num_users * ITEMS_PER_USER
        streams = sum(
            _bytes_of(client, keys_of("default", partition).events)
            for partition in range(PARTITIONS)
        )
        histories = [
            _bytes_of(client, keys_of("default", partition_of(user)).history(user))
            for user in (f"user-{number}" for number in range(0, num_users, 7))
        ]
        user = sum(histories) / len(histories)
        event_ids = _used(client) - empty - streams - user * num_users
        client.flushall()
        growth = _growth_percent(client, server, home, num_users)
    return Memory(streams / num_events, event_ids / num_events, user, ITEMS_PER_USER, growth)


def _growth_percent(client: Redis, server: Server, home: Path, num_users: int) -> float:
    used = []
    settings = Settings.load({}, dedupe_ttl_s=1)
    for cycle in range(_CYCLES):
        _send(server.url, num_users, cycle, settings)
        drain(client, "default", home / "log")
        # The users' histories and one empty stream per partition are what stays.
        _wait_until_keys(client, at_most=num_users + PARTITIONS)
        used.append(_used(client))
    return 100 * (used[-1] / used[0] - 1)


def _send(url: str, num_users: int, cycle: int, settings: Settings) -> None:
    async def main() -> None:
        store = EventStore(url, settings.model_copy(update={"redis_timeout_s": 10.0}))
        now_ms = int(time.time() * 1000)
        for item in range(ITEMS_PER_USER):
            for begin in range(0, num_users, _AT_ONCE):
                events = [
                    _event(number, item, cycle, now_ms)
                    for number in range(begin, min(begin + _AT_ONCE, num_users))
                ]
                await store.append("default", events, {})
        await store.close()

    asyncio.run(main())


def _event(number: int, item: int, cycle: int, now_ms: int) -> Interaction:
    return Interaction.model_construct(
        event_id=f"{cycle:04}-{number:08}-{item:04}",
        user_id=f"user-{number}",
        item_id=f"item-{item:06}",
        type="view",
        value=1.0,
        timestamp=now_ms,
        recommendation_id=None,
        position=None,
        context=None,
    )


def _used(client: Redis) -> int:
    return int(client.info("memory")["used_memory"])


def _bytes_of(client: Redis, key: str) -> int:
    return int(client.memory_usage(key, samples=0) or 0)


def _wait_until_keys(client: Redis, at_most: int) -> None:
    deadline = time.monotonic() + _EXPIRY_TIMEOUT_S
    while int(client.dbsize()) > at_most:
        if time.monotonic() > deadline:
            raise RuntimeError("event ids do not expire")
        time.sleep(_POLL_S)

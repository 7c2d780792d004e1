"""Events, and work with a store of them, for tests."""

import asyncio
from collections.abc import Awaitable, Callable

import redis

from service.events import Interaction, keys_of, partition_of
from service.settings import Settings
from service.store.client import EventStore

NOW_MS = 1_800_000_000_000
EVENTS = keys_of("default", partition_of("u")).events


def event(item_id: str = "i", event_id: str = "e", user_id: str = "u", **fields) -> Interaction:
    values = {"user_id": user_id, "item_id": item_id, "event_id": event_id} | fields
    return Interaction.model_validate(values, context={"now_ms": NOW_MS})


def run(url: str, work: Callable[[EventStore], Awaitable], **settings):
    async def main():
        store = EventStore(url, Settings(**settings))
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(main())


def library_is_loaded(client: redis.Redis) -> None:
    from service.store.functions import library

    client.function_load(library(), replace=True)

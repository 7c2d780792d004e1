"""Forgetting an item in the sessions of people who never said who they are."""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import cast

import orjson
from redis.asyncio import Redis

from service.store.client import EventStore

_AT_ONCE = 200


class SessionTraces:
    """Finds and removes what sessions hold of an item, some sessions at a time."""

    def __init__(self, store: EventStore) -> None:
        """Uses the connections of `store`."""
        self._store = store

    async def count(self, catalog: str, item_id: str) -> int:
        """How many events of sessions are about the item.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        return sum([len(ids) async for _, ids in self._found(catalog, item_id)])

    async def remove(self, catalog: str, item_id: str) -> int:
        """Removes them; returns how many there were.

        Raises:
            StoreUnavailable: there was no reply in time; send it again.
        """
        count = 0
        async for key, ids in self._found(catalog, item_id):
            await self._store.execute(partial(_remove, key=key, event_ids=ids))
            count += len(ids)
        return count

    async def _found(
        self, catalog: str, item_id: str
    ) -> AsyncIterator[tuple[bytes, Sequence[bytes]]]:
        """Keys of sessions, and the event_ids in each that are about the item."""
        # Names of catalogs have no character that is special in a pattern.
        pattern = f"mr:{catalog}:{{p[0-9][0-9]}}:session:*"
        keys = await self._store.execute(partial(_scan, pattern=pattern), for_request=False)
        for begin in range(0, len(keys), _AT_ONCE):
            some = keys[begin : begin + _AT_ONCE]
            read = partial(_read, keys=some)
            bodies = await self._store.execute(read, for_request=False)
            for key, events in zip(some, bodies, strict=True):
                ids = [event_id for event_id, body in events.items() if _item(body) == item_id]
                if ids:
                    yield key, ids


def _item(value: bytes) -> object:
    return orjson.loads(value.partition(b"\0")[2])["item_id"]


async def _scan(redis: Redis, *, pattern: str) -> list[bytes]:
    return [key async for key in redis.scan_iter(match=pattern, count=1000)]


async def _read(redis: Redis, *, keys: Sequence[bytes]) -> list[Mapping[bytes, bytes]]:
    async with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hgetall(key)
        return cast("list[Mapping[bytes, bytes]]", await pipeline.execute())


async def _remove(redis: Redis, *, key: bytes, event_ids: Sequence[bytes]) -> None:
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.hdel(key, *event_ids)
        pipeline.zrem(key.replace(b":session:", b":session-order:", 1), *event_ids)
        await pipeline.execute()

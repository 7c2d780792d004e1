"""Changes of items in Redis, where every worker and a restart find them.

Keys of a catalog: ``mr:<catalog>:{items}:bodies`` is a hash of the latest state by item id,
``...:changes`` a sorted set of item ids by the number of their latest change, ``...:number`` the
number of the catalog's latest change. Every item that was changed once stays in them, deleted ones
as well: a version may know them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from service.events import item_bodies_key
from service.item_change import ItemChange
from service.store.client import EventStore

_FUNCTION = "mr_item_3"


@dataclass(frozen=True)
class ItemNews:
    """Changes since a number; all there are if `restarted`: the numbers began anew."""

    changes: Sequence[ItemChange]
    number: int
    restarted: bool


class ItemStore:
    """Reads and writes the state of items."""

    def __init__(self, store: EventStore) -> None:
        """Uses the connections of `store`."""
        self._store = store

    async def read(self, catalog: str, item_id: str) -> ItemChange | None:
        """The latest state of an item, None where nothing was said of it.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        bodies, changes, _ = _keys(catalog)

        async def both(redis: Redis) -> tuple[bytes | None, float | None]:
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.hget(bodies, item_id)
                pipeline.zscore(changes, item_id)
                return cast("tuple[bytes | None, float | None]", tuple(await pipeline.execute()))

        body, number = await self._store.execute(both)
        if body is None or number is None:
            return None
        return ItemChange.decoded(item_id, int(number), body)

    async def write(self, catalog: str, change: ItemChange) -> bool:
        """Writes a state over the one whose number it has; 0 where there was none.

        Returns:
            False if someone else changed the item in between; read it again.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        arguments: list[str | int] = [change.item_id, change.encoded().decode(), change.number]
        [[number]] = await self._store.call_function(_FUNCTION, [(list(_keys(catalog)), arguments)])
        return number > 0

    async def news(self, catalog: str, since: int) -> ItemNews:
        """Every item whose latest change has a number above `since`.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        bodies, changes, latest = _keys(catalog)

        async def numbers(redis: Redis) -> tuple[bytes | None, list[bytes]]:
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.get(latest)
                pipeline.zrangebyscore(changes, f"({since}", "+inf")
                return cast("tuple[bytes | None, list[bytes]]", tuple(await pipeline.execute()))

        number, changed = await self._store.execute(numbers, for_request=False)
        if int(number or 0) < since:
            news = await self.news(catalog, 0)
            return ItemNews(news.changes, news.number, restarted=True)
        if not changed:
            return ItemNews((), int(number or 0), restarted=False)
        found = await self._store.execute(
            lambda redis: _bodies(redis, bodies, changed), for_request=False
        )
        # The number of each body is not asked for: only writing compares it, after a read.
        items = [
            ItemChange.decoded(item.decode(), 0, body)
            for item, body in zip(changed, found, strict=True)
            if body is not None
        ]
        return ItemNews(items, int(number or 0), restarted=False)


async def _bodies(redis: Redis, key: str, item_ids: list[bytes]) -> list[bytes | None]:
    return cast("list[bytes | None]", await redis.hmget(key, item_ids))


def _keys(catalog: str) -> tuple[str, str, str]:
    bodies = item_bodies_key(catalog)
    prefix = bodies.removesuffix("bodies")
    return bodies, prefix + "changes", prefix + "number"

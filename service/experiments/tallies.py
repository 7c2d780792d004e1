"""What this worker recommends, counted in memory and added to Redis now and then."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from redis.asyncio import Redis

from service.experiments.ids import day_name, origin_of
from service.experiments.store import COUNT, counted_key, counters_key, distinct_key
from service.experiments.store import field as counter
from service.store.client import EventStore

_BATCH_TTL_S = 86_400
_KEPT_IDS = 100_000
_CHUNK = 1000

_Where = tuple[str, int, int, int]
"""Catalog, day (as `Origin.day_number`), number of the experiment, index of the arm."""


@dataclass
class Tally:
    """What one arm's answers of a day were like."""

    answers: int = 0
    popular: int = 0
    padded: int = 0
    degraded: int = 0
    items: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)

    # Any: JSON.
    def add(self, content: dict[str, Any]) -> None:
        """Counts an answer; the first page of a list only, but the items of all pages."""
        items = content["items"]
        if not items or items[0]["rank"] == 1:
            self.answers += 1
            self.degraded += content["degraded"]
            if items and items[-1]["source"] == "popular":
                if items[0]["source"] == "popular":
                    self.popular += 1
                else:
                    self.padded += 1
        if len(self.items) < _KEPT_IDS:
            self.items.update([item["item_id"] for item in items])
        if len(self.users) < _KEPT_IDS:
            self.users.add(content["user_id"] or content["session_id"])

    def counts(self) -> dict[str, int]:
        """The counters to add to."""
        return {
            "answers": self.answers,
            "popular": self.popular,
            "padded": self.padded,
            "degraded": self.degraded,
        }


class Tallies:
    """Counts answers; nothing waits for Redis.

    A batch is sent again until Redis replied, and counted once however often it arrives. What was
    counted since the last batch is lost when the process is killed, and only then.
    """

    def __init__(self) -> None:
        """Counts nothing yet."""
        self._number = 0
        self._tallies: dict[_Where, Tally] = defaultdict(Tally)
        self._sending: dict[_Where, Tally] = {}
        self._flushing = asyncio.Lock()
        self._told: dict[_Where, set[str]] = {}

    @cached_property
    def _worker(self) -> str:
        """Made when it is needed: the processes that this object is copied to differ."""
        return uuid.uuid4().hex

    # Any: JSON.
    def add(self, content: dict[str, Any]) -> None:
        """Counts an answer for the arm that its recommendation_id names."""
        origin = origin_of(content["recommendation_id"])
        if origin is not None:
            where = (content["catalog"], origin.day_number, origin.number, origin.arm)
            self._tallies[where].add(content)

    async def flush(self, store: EventStore, ttl_s: int) -> list[tuple[_Where, Tally]]:
        """Adds to Redis what was counted since the last time.

        Args:
            store: the connections.
            ttl_s: how long counters are kept.

        Returns:
            What was added.

        Raises:
            StoreUnavailable: there was no reply in time; the next call sends it again.
        """
        sent: list[tuple[_Where, Tally]] = []
        async with self._flushing:
            # A batch that was left over, then what was counted since.
            for _ in range(2):
                if not self._sending and self._tallies:
                    self._number += 1
                    self._sending, self._tallies = dict(self._tallies), defaultdict(Tally)
                if self._sending:
                    await self._send(store, ttl_s)
                    sent += self._sending.items()
                    self._sending = {}
        return sent

    async def _send(self, store: EventStore, ttl_s: int) -> None:
        for catalog in sorted({catalog for catalog, *_ in self._sending}):
            await store.call_function(COUNT, [self._counts(catalog, ttl_s)])
        await self._tell_ids(store, ttl_s)
        days = {day for _, day, *_ in self._sending}
        self._told = {where: told for where, told in self._told.items() if where[1] in days}

    def _counts(self, catalog: str, ttl_s: int) -> tuple[list[str], list[str | int]]:
        keys = [counted_key(catalog, self._worker)]
        arguments: list[str | int] = [self._number, _BATCH_TTL_S, ttl_s]
        for (of, day, number, arm), tally in self._sending.items():
            if of != catalog:
                continue
            for what, amount in tally.counts().items():
                if amount:
                    keys.append(counters_key(catalog, 0, day_name(day)))
                    arguments += (counter((number, arm), what), amount)
        return keys, arguments

    async def _tell_ids(self, store: EventStore, ttl_s: int) -> None:
        """Adds items and users to the HyperLogLogs, which take an id any number of times."""
        for where, tally in self._sending.items():
            catalog, day, number, arm = where
            told = self._told.setdefault(where, set())
            if len(told) > _KEPT_IDS:
                told.clear()
            items = sorted(tally.items - told)
            for what, ids in (("items", items), ("users", sorted(tally.users))):
                key = distinct_key(catalog, what, day_name(day), (number, arm))
                for start in range(0, len(ids), _CHUNK):
                    await store.execute(
                        _adding(key, ids[start : start + _CHUNK], ttl_s), for_request=False
                    )
            told.update(items)


def _adding(key: str, ids: Sequence[str], ttl_s: int) -> Callable[[Redis], Awaitable[None]]:
    async def add(redis: Redis) -> None:
        async with redis.pipeline(transaction=False) as pipeline:
            pipeline.pfadd(key, *ids)
            pipeline.expire(key, ttl_s)
            await pipeline.execute()

    return add

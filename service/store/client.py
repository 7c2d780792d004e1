"""Taking events and reading histories, one round trip each.

redis-py would repeat a command whose reply was lost, and so duplicate it; here its own retries are
off, and the one retry of ours is safe because the server-side function is idempotent by event_id.
"""

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import StoreUnavailable
from service.events import (
    SIGN_MARKS,
    Interaction,
    Sign,
    encode_event,
    keys_of,
    partition_of,
    sign_of,
)
from service.settings import Settings
from service.store.history import HistoryItem, PastEvent, history_of

INGEST = "mr_ingest_3"
RETRY_AFTER_S = 1

__all__ = ["EventStore", "HistoryItem"]

_T = TypeVar("_T")


class EventStore:
    """A client of one Redis or Valkey server, for one event loop.

    After two failed attempts, reads fail at once for a second, so that a server which does not
    reply costs a user nothing but freshness. Writes always try.
    """

    def __init__(
        self, url: str, settings: Settings, observe: Callable[[float], None] | None = None
    ) -> None:
        """Connects lazily.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``.
            settings: time limits, caps and TTLs.
            observe: called with the seconds of every operation, waiting for a connection included.
        """
        self._settings = settings
        self._observe = observe
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=settings.redis_max_connections,
            timeout=settings.redis_timeout_s,
            socket_timeout=settings.redis_timeout_s,
            socket_connect_timeout=settings.redis_timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=3,
            legacy_responses=False,
        )
        self._redis = Redis(connection_pool=self._pool)
        self._down_until = 0.0
        self._ping = (0.0, False)
        self._ping_lock = asyncio.Lock()

    async def append(
        self, catalog: str, events: Sequence[Interaction], signs: Mapping[str, Sign]
    ) -> list[bool]:
        """Stores events; returns when the server has replied for every one of them.

        Args:
            catalog: a checked catalog name.
            events: any number of events.
            signs: event type to sign; `sign_of` says what types not in it are.

        Returns:
            Per event, True if it was taken and False if its event_id was known already.

        Raises:
            StoreUnavailable: some event got no reply. Sending all again is safe when they carry
                their own event_ids.
        """
        if not events:
            return []
        partitions: dict[int, list[int]] = defaultdict(list)
        for index, event in enumerate(events):
            partitions[partition_of(event.user_id)].append(index)
        token = uuid.uuid4().hex
        calls = [
            self._arguments(catalog, partition, [events[i] for i in indices], signs, token)
            for partition, indices in partitions.items()
        ]
        replies = await self.call_function(INGEST, calls)
        taken = [False] * len(events)
        for indices, reply in zip(partitions.values(), replies, strict=True):
            for index, value in zip(indices, reply, strict=True):
                taken[index] = value == 1
        return taken

    async def history(self, catalog: str, user_id: str) -> list[HistoryItem]:
        """The user's newest items, oldest first; the later sign of an item holds.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        if time.monotonic() < self._down_until:
            raise StoreUnavailable("Redis did not reply a moment ago", retry_after_s=RETRY_AFTER_S)
        key = keys_of(catalog, partition_of(user_id)).history(user_id)
        reply = await self._twice(lambda: self._redis.zrange(key, 0, -1, withscores=True))
        rows = cast("list[tuple[bytes, float]]", reply)  # the library's type covers every option
        if rows and rows[0][1] < 0:
            # Negative events stand before the others, the newest first; in a tie they come last.
            rows.sort(key=lambda row: (abs(row[1]), row[0]))
        return history_of(_past_event(member, abs(score)) for member, score in rows)

    async def execute(
        self, operation: Callable[[Redis], Awaitable[_T]], *, for_request: bool = True
    ) -> _T:
        """Runs an operation that may be repeated, with the store's time limits and one retry.

        Args:
            operation: what to do with the connection.
            for_request: whether a request waits for it, so that its time is observed.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        return await self._twice(lambda: operation(self._redis), observed=for_request)

    async def call_function(
        self, name: str, calls: Sequence[tuple[list[str], list[str | int]]]
    ) -> list[list[int]]:
        """Calls one of our server-side functions once per (keys, arguments), in one round trip.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        return await self._twice(lambda: self._call_functions(name, calls))

    async def evaluate(self, script: str, key: str, *arguments: int) -> list[int]:
        """What a Lua script returns for one key; a lost reply makes it run again.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        if time.monotonic() < self._down_until:
            raise StoreUnavailable("Redis did not reply a moment ago", retry_after_s=RETRY_AFTER_S)
        given = [str(argument) for argument in arguments]
        reply = await self._twice(lambda: self._redis.eval(script, 1, key, *given))
        return cast("list[int]", reply)  # the library's type covers every script

    def listening(self) -> PubSub:
        """A subscription; from its first use until it is closed it takes one of the connections."""
        return self._redis.pubsub()

    async def ping(self) -> bool:
        """Whether the server replies; asked at most once a second."""
        async with self._ping_lock:
            checked_at, is_up = self._ping
            if time.monotonic() - checked_at >= 1.0:
                try:
                    await self._twice(self._redis.ping)
                    is_up = True
                except StoreUnavailable:
                    is_up = False
                self._ping = (time.monotonic(), is_up)
        return is_up

    async def close(self) -> None:
        """Closes all connections."""
        await self._redis.aclose()
        await self._pool.aclose()

    async def _twice(self, operation: Callable[[], Awaitable[_T]], *, observed: bool = True) -> _T:
        start = time.perf_counter()
        try:
            try:
                result = await operation()
            except (RedisConnectionError, RedisTimeoutError):
                result = await operation()
        except RedisError as error:
            self._down_until = time.monotonic() + 1.0
            raise StoreUnavailable(
                f"Redis did not take the request ({type(error).__name__}: {error});"
                " nothing was acknowledged, send it again",
                retry_after_s=RETRY_AFTER_S,
            ) from error
        finally:
            if observed and self._observe is not None:
                self._observe(time.perf_counter() - start)
        self._down_until = 0.0
        return result

    def _arguments(
        self,
        catalog: str,
        partition: int,
        events: Sequence[Interaction],
        signs: Mapping[str, Sign],
        token: str,
    ) -> tuple[list[str], list[str | int]]:
        keys = keys_of(catalog, partition)
        settings = self._settings
        names = [keys.events]
        arguments: list[str | int] = [
            settings.dedupe_ttl_s,
            settings.history_cap,
            settings.history_ttl_s,
            token,
        ]
        for event in events:
            names += (keys.dedupe(event.event_id), keys.history(event.user_id))
            mark = SIGN_MARKS.get(sign_of(event.type, signs), "")
            arguments += (mark, event.timestamp, *encode_event(event).values())
        return names, arguments

    async def _call_functions(
        self, name: str, calls: Sequence[tuple[list[str], list[str | int]]]
    ) -> list[list[int]]:
        replies = await self._pipeline(name, calls)
        lost = [index for index, reply in enumerate(replies) if _is_function_missing(reply)]
        if lost:
            await self._redis.function_load(_library(), replace=True)
            again = await self._pipeline(name, [calls[index] for index in lost])
            for index, reply in zip(lost, again, strict=True):
                replies[index] = reply
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    # Any: a pipeline's replies are whatever its commands reply, or the error of a command.
    async def _pipeline(
        self, name: str, calls: Sequence[tuple[list[str], list[str | int]]]
    ) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for names, arguments in calls:
                pipeline.fcall(name, len(names), *names, *arguments)
            return await pipeline.execute(raise_on_error=False)


def _past_event(member: bytes, timestamp: float) -> PastEvent:
    event_type, _, item_id = member.decode().partition("\0")
    return event_type[0] == "+", event_type[1:], item_id, int(timestamp)


def _is_function_missing(reply: object) -> bool:
    return isinstance(reply, ResponseError) and "Function not found" in str(reply)


def _library() -> str:
    return files("service.store").joinpath("functions.lua").read_text(encoding="utf-8")

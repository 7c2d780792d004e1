"""Taking events and reading histories, one round trip each.

redis-py would repeat a command whose reply was lost, and so duplicate it; here its own retries are
off, and the one retry of ours is safe because the server-side function is idempotent by event_id.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TypeVar, cast

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import StoreUnavailable
from service.events import Interaction, Sign, keys_of, partition_of
from service.settings import Settings
from service.store.appending import RETRY_AFTER_S, Appender, Call
from service.store.cluster import LOST, ClusterExchange
from service.store.connection import connect, kind_of
from service.store.functions import Functions
from service.store.history import HistoryItem, PastEvent, history_of
from service.store.lost import lost_connection
from service.store.reads import Command, Reads, Reply, ServerReads

__all__ = ["EventStore", "HistoryItem"]

_T = TypeVar("_T")


class EventStore:
    """A client of a Redis or Valkey server or cluster, for one event loop.

    After two failed attempts, reads fail at once for a second, so that a server which does not
    reply costs a user nothing but freshness. Writes always try.
    """

    def __init__(
        self, url: str, settings: Settings, observe: Callable[[float], None] | None = None
    ) -> None:
        """Connects lazily.

        Args:
            url: see `service.store.connection`.
            settings: time limits, caps and TTLs.
            observe: called with the seconds of every operation, waiting for a connection included.

        `on_erased` is called with the catalog, the user and the tombstone's stream id when a
        history says that its user was erased.
        """
        self._settings = settings
        self._observe = observe
        self.on_erased: Callable[[str, str, str], None] = lambda *_: None
        self._open = partial(
            connect,
            url,
            timeout_s=settings.redis_timeout_s,
            max_connections=settings.redis_max_connections,
        )
        self._redis = self._open(reply_timeout_s=settings.redis_timeout_s)
        # What is written has connections of its own: one whose replies went astray is found out by
        # a write only, and must never have been lent to a read.
        self._writer = self._open(reply_timeout_s=settings.redis_timeout_s)
        sync_timeout_s = settings.redis_timeout_s + settings.sync_timeout_s
        self._sync_writer = self._open(reply_timeout_s=sync_timeout_s)
        self._functions = Functions(self._writer)
        self._sync_functions = Functions(
            self._sync_writer, sync_timeout_ms=round(settings.sync_timeout_s * 1000)
        )
        self._appender = Appender(self.call_function, settings)
        self._sync_appender = Appender(partial(self.call_function, sync=True), settings)
        is_cluster = kind_of(url) == "cluster"
        # The library's client of a cluster has no queue for its connections.
        self._places = asyncio.Semaphore(settings.redis_max_connections) if is_cluster else None
        # What is read together keeps a connection, which must not be missing elsewhere.
        self._reader = (
            self._redis if is_cluster else self._open(reply_timeout_s=settings.redis_timeout_s)
        )
        self._send = (
            ClusterExchange(cast(RedisCluster, self._reader)).read
            if is_cluster
            else ServerReads(self._reader).read
        )
        self._reads = Reads(self._read_together)
        self._down_until = 0.0
        self._ping = (0.0, False)
        self._ping_lock = asyncio.Lock()

    async def append(
        self,
        catalog: str,
        events: Sequence[Interaction],
        signs: Mapping[str, Sign],
        *,
        sync: bool = False,
    ) -> list[bool]:
        """Stores events; returns when the server has replied for every one of them.

        Args:
            catalog: a checked catalog name.
            events: any number of events.
            signs: event type to sign; `sign_of` says what types not in it are.
            sync: return only when the events are on the server's disk.

        Returns:
            Per event, True if it was taken and False if its event_id was known already.

        Raises:
            DurabilityUnsupported: the server cannot say when events are on its disk.
            StoreFull: some streams are full; the others' events were taken.
            StoreUnavailable: some event got no reply. Sending all again is safe when they carry
                their own event_ids.
        """
        appender = self._sync_appender if sync else self._appender
        return await appender.append(catalog, events, signs)

    async def history(self, catalog: str, user_id: str) -> list[HistoryItem]:
        """The user's newest items, oldest first; the later sign of an item holds.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        key = keys_of(catalog, partition_of(user_id)).history(user_id)
        rows = await self.read(("ZRANGE", key, 0, -1, "WITHSCORES"))
        if rows and rows[0][1] < 0:
            if rows[0][1] == -math.inf:
                # The mark of an erasure, which the history began anew with.
                self.on_erased(catalog, user_id, rows.pop(0)[0][1:].decode())
            # Negative events stand before the others, the newest first; in a tie they come last.
            rows.sort(key=lambda row: (abs(row[1]), row[0]))
        return history_of([_past_event(member, score) for member, score in rows])

    async def read(self, command: Command) -> Reply:
        """The reply to a command that reads, in one round trip with what others read now.

        Raises:
            StoreUnavailable: there was no reply in time, now or a moment ago.
        """
        self._check_up()
        try:
            return await self._reads.read(command)
        except LOST as error:
            raise StoreUnavailable(
                f"a node of the cluster did not reply ({error})", retry_after_s=RETRY_AFTER_S
            ) from error
        except RedisError as error:
            raise StoreUnavailable(
                f"Redis refused to read ({type(error).__name__}: {error}); `mutualrec doctor` looks"
                " at what it holds",
                retry_after_s=RETRY_AFTER_S,
            ) from error

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
        self, name: str, calls: Sequence[Call], *, sync: bool = False
    ) -> list[list[int]]:
        """Calls one of our server-side functions once per (keys, arguments), in one round trip.

        Args:
            name: what the function is called on the server.
            calls: keys and arguments.
            sync: return only when what was written is on the server's disk.

        Raises:
            DurabilityUnsupported: the server cannot say when something is on its disk.
            StoreUnavailable: there was no reply in time.
        """
        functions = self._sync_functions if sync else self._functions
        return await self._twice(lambda: functions.call(name, calls))

    async def evaluate(self, script: str, key: str, *arguments: int) -> list[int]:
        """What a Lua script returns for one key; a lost reply makes it run again.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        self._check_up()
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
        await self._reads.finish()
        for client in {self._redis, self._reader, self._writer, self._sync_writer}:
            await client.aclose()

    def _check_up(self) -> None:
        if time.monotonic() < self._down_until:
            raise StoreUnavailable("Redis did not reply a moment ago", retry_after_s=RETRY_AFTER_S)

    async def _read_together(self, commands: Sequence[Command]) -> Sequence[Reply]:
        # The round trip before this one may have found out.
        self._check_up()
        return await self._twice(lambda: self._send(commands))

    async def _twice(self, operation: Callable[[], Awaitable[_T]], *, observed: bool = True) -> _T:
        start = time.perf_counter()
        try:
            async with self._places or nullcontext():
                try:
                    result = await _attempt(operation)
                except (RedisConnectionError, RedisTimeoutError):
                    result = await _attempt(operation)
        except RedisError as error:
            # In a cluster it is one node, and others reply.
            if self._places is None:
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


async def _attempt(operation: Callable[[], Awaitable[_T]]) -> _T:
    """Does an operation; whatever says that a connection was lost is a RedisConnectionError."""
    try:
        return await operation()
    except (RuntimeError, AttributeError, RedisClusterException) as error:
        lost = lost_connection(error)
        if lost is None:
            raise
        raise lost from error


def _past_event(member: bytes, timestamp: float) -> PastEvent:
    event_type, _, item_id = member.decode().partition("\0")
    return event_type[0] == "+", event_type[1:], item_id, abs(int(timestamp))

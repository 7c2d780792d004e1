"""Calling our server-side functions, which come back by themselves when the server lost them."""

import secrets
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from service.errors import DurabilityUnsupported, StoreUnavailable
from service.store.appending import INGEST, RETRY_AFTER_S, Call
from service.store.cluster import ClusterExchange
from service.store.reads import Command, exchange

TOKEN_ARGUMENT = 3
"""Where the arguments of `INGEST` have the token that its reply begins with."""

# No catalog has an empty name, so this can be no catalog's key.
_WRITTEN_LAST = "mr::written-last"


class Functions:
    """Calls functions over one client."""

    def __init__(self, redis: Redis, *, sync_timeout_ms: int | None = None) -> None:
        """Connects nothing yet.

        Args:
            redis: the client.
            sync_timeout_ms: wait so long after every call for the server's disk; None not at all.
        """
        self._redis = redis
        self._sync_timeout_ms = sync_timeout_ms
        self._can_sync = False
        self._cluster: ClusterExchange | None = None

    async def call(self, name: str, calls: Sequence[Call]) -> list[list[int]]:
        """Calls a function once per (keys, arguments), in one round trip.

        Raises:
            DurabilityUnsupported: the server cannot say when something is on its disk.
            RedisError: there was no reply in time, or the server refused.
            StoreUnavailable: the server's disk did not follow in time.
        """
        if self._sync_timeout_ms is not None and not self._can_sync:
            await self._check_sync()
        replies = await self._round_trip(name, calls)
        lost = [index for index, reply in enumerate(replies) if _is_function_missing(reply)]
        if lost:
            await self._redis.function_load(library(), replace=True)
            again = await self._round_trip(name, [calls[index] for index in lost])
            for index, reply in zip(lost, again, strict=True):
                replies[index] = reply
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies if name != INGEST else await self._own(calls, replies)

    async def _own(self, calls: Sequence[Call], replies: Sequence[list[Any]]) -> list[list[int]]:
        """The replies without their tokens, if they are the replies to these calls.

        A connection on which something repeats or drops a reply gives every later request the
        answer to another one. The last reply of a pipeline shows that; tokens also show where
        replies changed places in between. Then all connections are opened anew.
        """
        own = []
        for (_, arguments), reply in zip(calls, replies, strict=True):
            token = str(arguments[TOKEN_ARGUMENT]).encode()
            if not isinstance(reply, list) or not reply or reply[0] != token:
                await self._disconnect()
                raise RedisConnectionError("a reply belongs to another request")
            own.append(reply[1:])
        return own

    async def _disconnect(self) -> None:
        if isinstance(self._redis, RedisCluster):
            await self._redis.aclose()  # the next command connects again
        else:
            await self._redis.connection_pool.disconnect(inuse_connections=True)

    # Any: a reply is whatever its command replies, or the error of a command.
    async def _round_trip(self, name: str, calls: Sequence[Call]) -> list[Any]:
        commands: list[Command] = [
            ("FCALL", name, len(names), *names, *arguments) for names, arguments in calls
        ]
        if isinstance(self._redis, RedisCluster):
            # Every node has its part of the commands, and a mark at the end of it.
            self._cluster = self._cluster or ClusterExchange(self._redis)
            return await self._cluster.checked(commands)
        if self._sync_timeout_ms is not None:
            # WAITAOF waits for what this connection wrote. An event may be known already that
            # another connection wrote a moment ago; this write comes after it.
            commands += [("SET", _WRITTEN_LAST, 1), ("WAITAOF", 1, 0, self._sync_timeout_ms)]
        mark = secrets.token_hex(8)
        replies = await exchange(self._redis, [*commands, ("ECHO", mark)])
        if replies.pop() != mark.encode():
            await self._disconnect()
            raise RedisConnectionError("a reply belongs to another request")
        if self._sync_timeout_ms is None:
            return replies
        *replies, _, on_disk = replies
        if not isinstance(on_disk, Exception) and on_disk[0] < 1:
            raise StoreUnavailable(
                f"Redis took the events, but its disk did not follow in {self._sync_timeout_ms} ms;"
                " send them again with the same event_ids",
                retry_after_s=RETRY_AFTER_S,
            )
        return [*replies] if not isinstance(on_disk, Exception) else [on_disk]

    async def _check_sync(self) -> None:
        if isinstance(self._redis, RedisCluster):
            raise DurabilityUnsupported(
                "durability=sync works with a single server and with Sentinel, not with a cluster;"
                " set `appendfsync always` on its nodes and leave durability out"
            )
        try:
            await self._redis.waitaof(1, 0, 1)
        except ResponseError as error:
            if "appendonly" in str(error):
                fix = "its append-only file is off; set `appendonly yes`"
            else:
                fix = "it lacks WAITAOF; use Redis 7.2 or newer, or any Valkey"
            raise DurabilityUnsupported(
                f"the server cannot confirm that events are on its disk: {fix}, or leave"
                " durability out"
            ) from error
        self._can_sync = True


def _is_function_missing(reply: object) -> bool:
    return isinstance(reply, ResponseError) and "Function not found" in str(reply)


def library() -> str:
    """The source of all functions."""
    return files("service.store").joinpath("functions.lua").read_text(encoding="utf-8")

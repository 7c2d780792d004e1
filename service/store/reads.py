"""Reading: what is asked for at the same time shares one round trip."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, cast

from hiredis import pack_command
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

MAX_READS = 128

_REPLIES_PER_LIMIT = 16
"""So many replies share a time limit; one for each, as the library has it, costs as much again."""

Command: TypeAlias = tuple[bytes | str | int, ...]
# Any: a reply is whatever its command replies.
Reply: TypeAlias = Any
Send: TypeAlias = Callable[[Sequence[Command]], Awaitable[Sequence[Reply]]]


class Reads:
    """Joins what is read at the same time; for one event loop.

    One round trip is under way at a time. What is asked meanwhile goes with the next one, so a
    busy service spends a fraction of a round trip per request, and a request of a quiet one waits
    for nobody.
    """

    def __init__(self, send: Send) -> None:
        """Sends nothing yet.

        Args:
            send: does one round trip; its replies are in the order of the commands, an error in
                place of the reply to a command that was refused.
        """
        self._send = send
        self._waiting: list[tuple[Command, asyncio.Future[Reply]]] = []
        self._under_way: asyncio.Task[None] | None = None

    async def read(self, command: Command) -> Reply:
        """The reply to a command that reads.

        Raises:
            RedisError: the server refused the command.
            StoreUnavailable: as `send` raises it.
        """
        reply = asyncio.get_running_loop().create_future()
        self._waiting.append((command, reply))
        if self._under_way is None:
            self._under_way = asyncio.create_task(self._work())
        return await reply

    async def finish(self) -> None:
        """Waits for what is under way, whoever asked for it: it holds a connection."""
        if self._under_way is not None:
            await asyncio.gather(self._under_way, return_exceptions=True)

    async def _work(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting[:MAX_READS], self._waiting[MAX_READS:]
                await self._round_trip(together)
        finally:
            self._under_way = None

    async def _round_trip(self, together: Sequence[tuple[Command, asyncio.Future[Reply]]]) -> None:
        replies: Sequence[Reply]
        try:
            replies = await self._send([command for command, _ in together])
        except Exception as error:
            # Whatever it was, everybody who waits must hear of it.
            replies = [error] * len(together)
        for (_, waiting), reply in zip(together, replies, strict=True):
            if waiting.done():  # whoever asked has gone
                continue
            if isinstance(reply, Exception):
                waiting.set_exception(reply)
            else:
                waiting.set_result(reply)


class ServerReads:
    """Round trips to one server, on a connection that is kept between them.

    To take one from the pool and to give it back costs more than to read a few histories. The pool
    looks for replies that nobody asked for, though; here the last reply of every round trip shows
    that the others are those to its own commands.
    """

    def __init__(self, redis: Redis) -> None:
        """Takes no connection yet.

        Args:
            redis: whose pool lends the connection, until its server fails or the pool is closed.
        """
        self._pool = redis.connection_pool
        self._connection: AbstractConnection | None = None
        self._count = 0

    async def read(self, commands: Sequence[Command]) -> Sequence[Reply]:
        """One round trip; not to be called again before it has returned.

        Returns:
            The replies in the order of the commands, an error in place of the reply to a refused
            one.

        Raises:
            RedisError: there was no reply in time, or the server refused every command.
        """
        self._count += 1
        mark = b"%d" % self._count
        if self._connection is None:
            self._connection = await _lent(self._pool)
        try:
            replies = await _round_trip(self._connection, [*commands, ("ECHO", mark)])
            if (last := replies.pop()) != mark:
                await self._connection.disconnect(nowait=True)
                # A server that has changed its password, or is loading its data, refuses all.
                if isinstance(last, Exception):
                    raise last
                raise RedisConnectionError("a reply belongs to another request")
        except BaseException:
            # The pool asks Sentinel anew who the master is, where there is one.
            connection, self._connection = self._connection, None
            await self._pool.release(connection)
            raise
        return replies


async def exchange(redis: Redis, commands: Sequence[Command]) -> list[Reply]:
    """One round trip to one server, without what the library's pipeline spends on each command.

    Returns:
        The replies in the order of the commands, an error in place of the reply to a refused one.

    Raises:
        RedisError: there was no reply in time.
    """
    pool = redis.connection_pool
    connection = await _lent(pool)
    try:
        return await _round_trip(connection, commands)
    finally:
        await pool.release(connection)


async def _lent(pool: ConnectionPool) -> AbstractConnection:
    return cast(
        AbstractConnection,
        await pool.get_connection(),  # type: ignore[no-untyped-call]  # as it is
    )


async def _round_trip(connection: AbstractConnection, commands: Sequence[Command]) -> list[Reply]:
    try:
        packed = [pack_command(command) for command in commands]  # type: ignore[arg-type]  # as it is
        await connection.send_packed_command(b"".join(packed))
        return await _replies(connection, len(commands))
    except BaseException:
        # Replies may still be on their way, and must not be taken for those of others.
        await connection.disconnect(nowait=True)
        raise


async def _replies(connection: AbstractConnection, count: int) -> list[Reply]:
    replies: list[Reply] = []
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit:
            for number in range(count):
                if number % _REPLIES_PER_LIMIT == 0 and connection.socket_timeout is not None:
                    limit.reschedule(loop.time() + connection.socket_timeout)
                try:
                    replies.append(await connection.read_response(timeout=math.inf))
                except ResponseError as error:
                    replies.append(error)
    except TimeoutError as error:
        raise RedisTimeoutError(f"{count - len(replies)} of {count} replies are late") from error
    return replies

"""One round trip to the nodes of a cluster; what one node does not reply concerns no other."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import cast

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.store.lost import lost_connection
from service.store.reads import Command, Reply

LOST = (RedisConnectionError, RedisTimeoutError)

_DOWN_S = 1.0
_KEY_OF_FUNCTION = 3


class ClusterExchange:
    """Sends commands to the nodes that have their keys.

    The library puts what went wrong on one node in the place of its replies, and learns nothing
    from it. Here a lost connection makes the map of the cluster be read anew before the next round
    trip: another node may have taken the place of the lost one.
    """

    def __init__(self, redis: RedisCluster) -> None:
        """Connects nothing yet."""
        self._redis = redis
        self._is_stale = False
        self._down_until: dict[str, float] = {}

    async def checked(self, commands: Sequence[Command]) -> list[Reply]:
        """One round trip of writing commands, whose replies are found out to be theirs.

        What drops or repeats a reply on the way gives every later request on that connection the
        reply to another one. The last reply of every node shows that, and then all connections are
        opened anew.

        Returns:
            The replies in the order of the commands, an error in place of the reply to one that
            was refused or got none.

        Raises:
            RedisError: the cluster cannot be asked at all.
        """
        await self._connect()
        return await self._send(range(len(commands)), commands, secrets.token_hex(8))

    async def read(self, commands: Sequence[Command]) -> list[Reply]:
        """The same with commands that read, which are asked once more where nothing came back.

        A node that does not reply then is left alone for a second: those who ask for what others
        have must not wait for it.

        Raises:
            RedisError: the cluster cannot be asked at all.
        """
        await self._connect()
        replies = await self._send(range(len(commands)), commands)
        lost = [number for number, reply in enumerate(replies) if isinstance(reply, LOST)]
        if lost:
            await self._connect()
            again = await self._send(lost, commands, is_last=True)
            for number in lost:
                replies[number] = again[number]
        return replies

    async def _connect(self) -> None:
        """Reads the map of the cluster where it is not known, or may have changed."""
        try:
            await self._redis.initialize()
            if self._is_stale:
                await self._redis.nodes_manager.initialize()
                self._is_stale = False
        except RedisClusterException as error:
            raise RedisConnectionError(f"the cluster cannot be asked: {error}") from error

    async def _send(
        self,
        numbers: Sequence[int],
        commands: Sequence[Command],
        mark: str | None = None,
        *,
        is_last: bool = False,
    ) -> list[Reply]:
        """The replies to the commands of these numbers, each in its place.

        Args:
            numbers: of the commands to send.
            commands: all of them.
            mark: what every node says last; None for commands that read.
            is_last: leave nodes alone that do not reply now.
        """
        replies: list[Reply] = [None] * len(commands)
        nodes: dict[str, tuple[ClusterNode, list[int]]] = {}
        for number in numbers:
            try:
                node = self._node_of(commands[number], is_read=mark is None)
            except RedisConnectionError as error:
                replies[number] = error
                continue
            nodes.setdefault(node.name, (node, []))[1].append(number)
        # A pipeline of several nodes would end with the first that cannot be reached.
        found = await asyncio.gather(
            *(
                self._exchange(node, [commands[number] for number in of_node], mark)
                for node, of_node in nodes.values()
            )
        )
        for (name, (_, of_node)), told in zip(nodes.items(), found, strict=True):
            for number, reply in zip(of_node, told, strict=True):
                replies[number] = reply
            if any(isinstance(reply, LOST) for reply in told):
                self._is_stale = True
                if is_last:
                    self._down_until[name] = time.monotonic() + _DOWN_S
        return replies

    async def _exchange(
        self, node: ClusterNode, commands: Sequence[Command], mark: str | None
    ) -> list[Reply]:
        """The replies of one node, an error in place of each that did not come."""
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                # Without the node, the library asks some node for the keys of a function call.
                for command in commands:
                    pipeline.execute_command(*command, target_nodes=node)
                if mark is not None:
                    pipeline.execute_command("ECHO", mark, target_nodes=node)
                replies = [_told(reply) for reply in await pipeline.execute(raise_on_error=False)]
        except Exception as error:
            told = _told(error)
            if not isinstance(told, RedisError):
                raise
            return [told] * len(commands)
        if mark is None:
            return replies
        last = replies.pop()
        if isinstance(last, Exception):
            return [last] * len(commands)
        if last != mark.encode():
            await self._redis.aclose()  # the next command connects again
            return [RedisConnectionError("a reply belongs to another request")] * len(commands)
        return replies

    def _node_of(self, command: Command, *, is_read: bool) -> ClusterNode:
        """The node of a command's key, the first argument but for functions.

        Raises:
            RedisConnectionError: there is none, or a read has to leave it alone.
        """
        key = command[_KEY_OF_FUNCTION if command[0] == "FCALL" else 1]
        try:
            node = cast(ClusterNode, self._redis.get_node_from_key(cast(str, key)))
        except RedisClusterException as error:
            raise RedisConnectionError(f"the cluster cannot be asked: {error}") from error
        if is_read and time.monotonic() < self._down_until.get(node.name, 0.0):
            raise RedisConnectionError(f"{node.name} did not reply a moment ago")
        return node


def _told(reply: Reply) -> Reply:
    """The reply; an error of a lost connection under its name."""
    return (lost_connection(reply) or reply) if isinstance(reply, Exception) else reply

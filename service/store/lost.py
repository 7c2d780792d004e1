"""Errors of a lost connection that the client library does not call so."""

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException

_STREAM_METHODS = frozenset({"read", "readexactly", "readuntil", "write", "writelines", "drain"})


def lost_connection(error: Exception) -> RedisConnectionError | None:
    """The error as a lost connection, None if it is something else.

    uvloop says RuntimeError where asyncio's loop says ConnectionResetError, the library stumbles
    over the stream that is gone when a connection is closed while it is being opened, and what it
    says of a cluster that nobody answers for is no RedisError.
    """
    if isinstance(error, RuntimeError) and "closed" in str(error):
        return RedisConnectionError(f"the connection was closed: {error}")
    if isinstance(error, AttributeError) and error.obj is None and error.name in _STREAM_METHODS:
        return RedisConnectionError("the connection was closed while it was opened")
    if isinstance(error, RedisClusterException):
        return RedisConnectionError(f"the cluster cannot be asked: {error}")
    return None

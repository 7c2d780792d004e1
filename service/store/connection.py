"""Connections by URL: one server, a server behind Sentinel, or a cluster.

* ``redis://user:password@host:6379/0``, ``rediss://...`` with TLS, ``unix:///path``
* ``redis+sentinel://user:password@host:26379,host:26379/name/0``: the master called `name`
* ``redis+cluster://user:password@host:7000,host:7001``: any nodes of the cluster

The last two exist as ``rediss+sentinel`` and ``rediss+cluster``, too. User and password are those
of the servers; ``?sentinel_password=...`` (and ``sentinel_username``) are those of the Sentinels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis import BlockingConnectionPool as BlockingPool
from redis import Redis as BlockingRedis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode as BlockingNode
from redis.cluster import RedisCluster as BlockingCluster
from redis.driver_info import DriverInfo
from redis.retry import Retry as BlockingRetry
from redis.sentinel import Sentinel as BlockingSentinel

from service.store.packing import packing

SCHEMES = (
    *("redis://", "rediss://", "unix://"),
    *("redis+sentinel://", "rediss+sentinel://", "redis+cluster://", "rediss+cluster://"),
)
SENTINEL_PORT = 26379
NODE_PORT = 6379

# Any: keyword arguments of the client library.
_Options = Mapping[str, Any]

# Every connection tells it; found out once, not per connection.
_DRIVER = DriverInfo()


@dataclass(frozen=True)
class Address:
    """A URL of several hosts, taken apart.

    Attributes:
        hosts: host and port of every Sentinel, or of some nodes of the cluster.
        login: user name, password and TLS of the servers, as the library calls them.
        service: what Sentinel calls the master; empty for a cluster.
        database: number of the database; a cluster has only 0.
        sentinel_login: user name and password of the Sentinels.
    """

    hosts: tuple[tuple[str, int], ...]
    login: _Options = field(repr=False)
    service: str = ""
    database: int = 0
    sentinel_login: _Options = field(default_factory=dict, repr=False)


def kind_of(url: str) -> str:
    """``single``, ``sentinel`` or ``cluster``."""
    scheme = url.partition("://")[0]
    return scheme.partition("+")[2] or "single"


def parse_address(url: str) -> Address:
    """Takes a Sentinel's or a cluster's URL apart.

    Raises:
        ValueError: something is missing or too much; the message does not repeat the URL, which may
            hold a password.
    """
    parts = urlsplit(url)
    is_sentinel = kind_of(url) == "sentinel"
    login = _login(parts)
    hosts = _hosts(parts.netloc.rpartition("@")[2], SENTINEL_PORT if is_sentinel else NODE_PORT)
    path = [unquote(part) for part in parts.path.split("/") if part]
    if not is_sentinel:
        if path not in ([], ["0"]):
            raise ValueError("a redis+cluster URL ends after its hosts: a cluster has one database")
        return Address(hosts, login)
    if not 1 <= len(path) <= 2 or (len(path) == 2 and not path[1].isdecimal()):
        raise ValueError(
            "a redis+sentinel URL ends with the master's name, and the database if it is not 0:"
            " redis+sentinel://host:26379,host:26379/mymaster/0"
        )
    query = dict(parse_qsl(parts.query))
    unknown = set(query) - {"sentinel_username", "sentinel_password"}
    if unknown:
        raise ValueError(f"a redis+sentinel URL has no option {', '.join(sorted(unknown))}")
    sentinel_login = {name.removeprefix("sentinel_"): value for name, value in query.items()}
    return Address(hosts, login, path[0], int([*path, "0"][1]), sentinel_login)


def connect(url: str, *, timeout_s: float, reply_timeout_s: float, max_connections: int) -> Redis:
    """A client for one event loop; it connects when it is needed.

    The library's own retries are off: it would repeat a write whose reply was lost.

    Args:
        url: one of `SCHEMES`.
        timeout_s: seconds to connect, and to wait for a free connection.
        reply_timeout_s: seconds to wait for a reply.
        max_connections: more callers wait, of a cluster per node.
    """
    options: _Options = {
        "socket_timeout": reply_timeout_s,
        "socket_connect_timeout": timeout_s,
        "protocol": 3,
        "legacy_responses": False,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": _DRIVER,
    }
    if kind_of(url) == "single":
        pool = BlockingConnectionPool.from_url(
            url, max_connections=max_connections, timeout=timeout_s, **options
        )
        pool.connection_class = packing(pool.connection_class)
        return Redis.from_pool(pool)
    address = parse_address(url)
    if kind_of(url) == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        # It follows a slot that moved, which is no repetition. Waiting for one of its connections
        # is up to the caller: the library would raise.
        cluster = RedisCluster(
            startup_nodes=nodes, max_connections=2 * max_connections, **address.login, **options
        )
        return cast(Redis, cluster)  # the commands are the same
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # as it is
        address.hosts, sentinel_kwargs={**address.sentinel_login, "socket_timeout": timeout_s}
    )
    pool = _SentinelPool(  # type: ignore[no-untyped-call]
        address.service,
        sentinel,
        db=address.database,
        max_connections=max_connections,
        timeout=timeout_s,
        **address.login,
        **options,
    )
    return Redis.from_pool(pool)


def connect_blocking(
    url: str, *, timeout_s: float = 10.0, decode_responses: bool = False
) -> BlockingRedis:
    """A client for commands and for draining, which may wait.

    Args:
        url: one of `SCHEMES`.
        timeout_s: seconds to connect, and to wait for a reply.
        decode_responses: whether replies are text instead of bytes.
    """
    options: _Options = {
        "decode_responses": decode_responses,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": BlockingRetry(NoBackoff(), 0),
        "driver_info": _DRIVER,
    }
    if kind_of(url) == "single":
        return BlockingRedis.from_pool(BlockingPool.from_url(url, **options))
    address = parse_address(url)
    if kind_of(url) == "cluster":
        nodes = [
            BlockingNode(host, port)  # type: ignore[no-untyped-call]
            for host, port in address.hosts
        ]
        return cast(BlockingRedis, BlockingCluster(startup_nodes=nodes, **address.login, **options))
    sentinel = BlockingSentinel(  # type: ignore[no-untyped-call]
        address.hosts, sentinel_kwargs={**address.sentinel_login, "socket_timeout": timeout_s}
    )
    master = sentinel.master_for(  # type: ignore[no-untyped-call]
        address.service, db=address.database, **address.login, **options
    )
    return cast(BlockingRedis, master)


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Asks Sentinel for the master, and lets callers wait for a connection."""

    async def aclose(self) -> None:
        """Closes the connections to the Sentinels as well."""
        await super().aclose()
        for client in self.sentinel_manager.sentinels:
            await client.aclose()


def _login(parts: SplitResult) -> _Options:
    login: dict[str, object] = {}
    if parts.username:
        login["username"] = unquote(parts.username)
    if parts.password:
        login["password"] = unquote(parts.password)
    if parts.scheme.startswith("rediss"):
        login["ssl"] = True
    return login


def _hosts(netloc: str, default_port: int) -> tuple[tuple[str, int], ...]:
    hosts = []
    for part in netloc.split(","):
        host, colon, port = part.rpartition(":")
        if not colon or part.endswith("]"):  # no port; the colons of an IPv6 address do not count
            host, port = part, str(default_port)
        if not host or not port.isdecimal():
            raise ValueError("a Redis URL of several hosts lists them as host:port,host:port")
        hosts.append((host.strip("[]"), int(port)))
    return tuple(hosts)

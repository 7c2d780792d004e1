"""The Redis server: version, persistence, eviction, memory, backlog."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from service.doctor.finding import Finding
from service.events import PARTITIONS, keys_of

MIN_VERSION = (7, 0)
FULL_SHARE = 0.8
BACKLOG_EVENTS = 1_000_000

# Any: what INFO says is text or numbers, as the client reads them.
_Info = Mapping[str, Any]


def check_redis(client: Redis, catalogs: Sequence[str]) -> Iterator[Finding]:
    """Looks at a server through INFO, which hosted ones answer too.

    Args:
        client: connects to it.
        catalogs: whose events to count.
    """
    try:
        yield from check_one(client)
        yield check_backlog(client, catalogs)
    except RedisError as error:
        yield no_answer(error)


def no_answer(error: Exception) -> Finding:
    """What to do about a server, or several, that cannot be asked."""
    return Finding(
        "redis",
        "error",
        f"Redis does not answer ({type(error).__name__}: {error})",
        "start it, or correct MUTUALREC_REDIS_URL; without it events are refused and answers"
        " are degraded",
    )


def check_one(client: Redis) -> Iterator[Finding]:
    """Looks at one server, but for the events in it.

    Raises:
        RedisError: it does not answer.
    """
    info = cast(_Info, client.info())
    yield _version(info)
    yield _persistence(info, _fsync(client))
    yield _eviction(info)
    yield _memory(info)


def _version(info: _Info) -> Finding:
    name = "Valkey" if "valkey_version" in info else "Redis"
    shown = str(info.get("valkey_version", info.get("redis_version", "?")))
    compatible = str(info.get("redis_version", "0"))
    numbers = tuple(int(part) for part in compatible.split(".")[:2] if part.isdigit())
    if numbers < MIN_VERSION:
        return Finding(
            "redis version",
            "error",
            f"{name} {shown} lacks functions, which came with Redis 7.0",
            "use Redis 7.0 or newer, or any Valkey",
        )
    return Finding("redis version", "ok", f"{name} {shown}")


def _fsync(client: Redis) -> str | None:
    try:
        return cast("dict[str, str]", client.config_get("appendfsync")).get("appendfsync")
    except ResponseError:
        return None  # hosted servers refuse CONFIG


def _persistence(info: _Info, fsync: str | None) -> Finding:
    check = "redis persistence"
    if not int(info.get("aof_enabled", 0)):
        return Finding(
            check,
            "error",
            "the append-only file is off: a crash loses every event since the last snapshot",
            "set `appendonly yes` and `appendfsync everysec`",
        )
    for status in ("aof_last_write_status", "aof_last_bgrewrite_status"):
        if info.get(status, "ok") != "ok":
            return Finding(
                check,
                "error",
                f"{status} is {info[status]}: events are not being kept",
                "look at the server's log and the space on its disk",
            )
    if fsync == "no":
        return Finding(
            check,
            "warning",
            "appendfsync is no: a crash of its machine loses up to half a minute of events",
            "set `appendfsync everysec`, or `always` to lose nothing",
        )
    return Finding(check, "ok", f"append-only file on, appendfsync {fsync or 'not shown'}")


def _eviction(info: _Info) -> Finding:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        return Finding(
            "redis eviction",
            "error",
            f"maxmemory-policy is {policy}: a full server deletes events and histories",
            "set `maxmemory-policy noeviction`, and keep caches in another server",
        )
    return Finding("redis eviction", "ok", "noeviction")


def _memory(info: _Info) -> Finding:
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    limit = limit or int(info.get("total_system_memory", 0))
    says = f"{used / 2**20:,.0f} MiB used of {limit / 2**20:,.0f} MiB"
    if limit and used > FULL_SHARE * limit:
        return Finding(
            "redis memory",
            "warning",
            f"{says}: events are refused when it is full",
            "raise maxmemory, drain events with `mutualrec retrain`, or lower"
            " MUTUALREC_HISTORY_CAP and MUTUALREC_HISTORY_TTL_S",
        )
    return Finding("redis memory", "ok", says)


def check_backlog(client: Redis, catalogs: Sequence[str]) -> Finding:
    """How many events wait, wherever they lie.

    Raises:
        RedisError: a server does not answer.
    """
    pipeline = client.pipeline(transaction=False)
    for catalog in catalogs:
        for partition in range(PARTITIONS):
            pipeline.xlen(keys_of(catalog, partition).events)
    waiting = sum(cast("list[int]", pipeline.execute()))
    if waiting > BACKLOG_EVENTS:
        return Finding(
            "event backlog",
            "warning",
            f"{waiting:,} events wait in Redis to be drained",
            "run `mutualrec retrain`, and then regularly",
        )
    return Finding("event backlog", "ok", f"{waiting:,} events wait to be drained")

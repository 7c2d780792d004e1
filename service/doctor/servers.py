"""Redis as its URL names it: one server, a master behind Sentinel, a cluster."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from redis import Redis
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from service.doctor.finding import Finding
from service.doctor.redis_server import check_backlog, check_one, check_redis, no_answer
from service.store.connection import connect_blocking, kind_of

_SLOTS = 16_384


def check_servers(url: str, catalogs: Sequence[str], *, timeout_s: float) -> Iterator[Finding]:
    """Looks at every server that holds events.

    Args:
        url: see `service.store.connection`.
        catalogs: whose events to count.
        timeout_s: seconds to wait for each of them.
    """
    try:
        with connect_blocking(url, timeout_s=timeout_s, decode_responses=True) as client:
            if kind_of(url) == "cluster":
                yield from _check_cluster(cast(RedisCluster, client), catalogs)
                return
            yield from check_redis(client, catalogs)
            if kind_of(url) == "sentinel":
                yield _check_replicas(client)
    except (RedisError, RedisClusterException) as error:
        yield no_answer(error)


def _check_replicas(master: Redis) -> Finding:
    """Whether Sentinel has a server to fail over to."""
    # Any: what INFO says is text or numbers.
    said = cast("Mapping[str, Any]", master.info("replication"))
    count = int(said.get("connected_slaves", 0))
    check = "redis sentinel"
    if count == 0:
        return Finding(
            check,
            "warning",
            "the master has no replica: when it fails, Sentinel has nothing to take its place",
            "start a server with `replicaof` and the master's address",
        )
    wanted = _setting(master, "min-replicas-to-write")
    if wanted == "0":
        return Finding(
            check,
            "warning",
            f"{count} replicas, but the master takes events that none of them has: a failover"
            " loses them",
            "set `min-replicas-to-write 1` on every server",
        )
    return Finding(check, "ok", f"the master has {count} replicas")


def _check_cluster(client: RedisCluster, catalogs: Sequence[str]) -> Iterator[Finding]:
    nodes = client.get_primaries()  # type: ignore[no-untyped-call]  # as it is
    answering: list[Redis] = []
    for node in sorted(nodes, key=lambda one: str(one.name)):
        connection = client.get_redis_connection(node)
        try:
            for finding in check_one(connection):
                yield replace(finding, check=f"{finding.check} {node.name}")
            answering.append(connection)
        except RedisError as error:
            yield replace(no_answer(error), check=f"redis {node.name}")
    if answering:
        yield _coverage(answering[0], len(nodes), len(client.get_replicas()))  # type: ignore[no-untyped-call]
    if len(answering) == len(nodes):
        yield check_backlog(cast(Redis, client), catalogs)


def _coverage(node: Redis, primaries: int, replicas: int) -> Finding:
    """Whether some node answers for every slot, and another one could take its place."""
    said = cast("Mapping[str, str]", node.cluster("info"))
    check, served = "redis cluster", int(said.get("cluster_slots_ok", 0))
    if said.get("cluster_state") != "ok" or served < _SLOTS:
        return Finding(
            check,
            "error",
            f"the cluster is {said.get('cluster_state')}, {served:,} of {_SLOTS:,} slots are"
            " served: events of some users are refused",
            "start the nodes that are down, or run `redis-cli --cluster fix HOST:PORT`",
        )
    if replicas < primaries:
        return Finding(
            check,
            "warning",
            f"{primaries} masters have {replicas} replicas: a node that is lost takes events and"
            " histories with it",
            "give every master a replica: `redis-cli --cluster add-node --cluster-slave`",
        )
    return Finding(check, "ok", f"{primaries} masters, {replicas} replicas, every slot is served")


def _setting(client: Redis, name: str) -> str | None:
    try:
        return cast("dict[str, str]", client.config_get(name)).get(name)
    except RedisError:
        return None  # hosted servers refuse CONFIG

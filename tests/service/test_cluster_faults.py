"""What goes wrong on one node of a cluster concerns its own users and sessions, and nobody else."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from stored_events import NOW_MS

from benchmarks.servers import Server, cluster, valkey_program
from service.errors import StoreUnavailable
from service.events import SessionInteraction, keys_of, partition_of
from service.settings import Settings
from service.store.client import EventStore
from service.store.functions import library
from service.store.sessions import Sessions

pytestmark = pytest.mark.slow

NAMES = [f"name {number}" for number in range(40)]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> Iterator[list[Server]]:
    with cluster(valkey_program(), tmp_path_factory.mktemp("nodes")) as nodes:
        for node in nodes:
            with redis.Redis(port=node.port) as client:
                client.function_load(library(), replace=True)
        yield nodes


@pytest.fixture
def url(nodes) -> str:
    return f"redis+cluster://127.0.0.1:{nodes[1].port}"


def of_node(nodes: list[Server], number: int) -> str:
    """A user or session that a node has the keys of; three nodes have a third of all slots each."""
    with redis.Redis(port=nodes[0].port) as client:
        for name in NAMES:
            slot = client.cluster("keyslot", keys_of("default", partition_of(name)).events)
            if int(slot) * 3 // 16_384 == number:
                return name
    raise AssertionError("no name belongs to the node")


def of_session(session_id: str, event_id: str) -> SessionInteraction:
    values = {"session_id": session_id, "item_id": "i", "event_id": event_id}
    return SessionInteraction.model_validate(values, context={"now_ms": NOW_MS})


def run(url: str, work: Any, timeout_s: float = 5.0) -> Any:
    async def main():
        store = EventStore(url, Settings.load({}, redis_timeout_s=timeout_s))
        try:
            return await work(store, Sessions(store, Settings.load({})))
        finally:
            await store.close()

    return asyncio.run(main())


async def leave_a_reply_unread(store: EventStore, name: str) -> None:
    """On the connection that the next write to the node of a name will use."""
    cluster = store._writer
    await cluster.initialize()
    node = cluster.get_node_from_key(keys_of("default", partition_of(name)).events)
    connection = node.acquire_connection()
    await connection.connect()
    await connection.send_command("FCALL", "mr_session_3", 2, *_keys(name), 1, 1, "t", "e", 1, "{}")
    node.release(connection)


def _keys(name: str) -> tuple[str, str]:
    return keys_of("other", partition_of(name)).session(name)


def test_a_reply_about_a_session_that_belongs_to_another_request_is_not_believed(nodes, url):
    name = of_node(nodes, 1)

    async def work(store, sessions):
        first = await sessions.append("default", [of_session(name, "a")])
        await leave_a_reply_unread(store, name)
        again = await sessions.append("default", [of_session(name, "a")])
        return first, again, await sessions.append("default", [of_session(name, "b")])

    # What was left unread says [1]: it would be believed that "a" was taken once more.
    assert run(url, work) == ([True], [False], [True])


def test_replies_of_other_nodes_stay_those_to_their_sessions(nodes, url):
    names = [of_node(nodes, number) for number in range(3)]

    async def work(store, sessions):
        await sessions.append("default", [of_session(names[1], "x")])
        await leave_a_reply_unread(store, names[1])
        mixed = [of_session(name, "x") for name in names]
        return await sessions.append("default", mixed)

    assert run(url, work) == [True, False, True]


def test_while_a_node_is_gone_its_users_are_answered_degraded_and_others_as_ever(
    nodes, url, start, deploy
):
    gone, there = of_node(nodes, 0), of_node(nodes, 2)
    deploy()
    client = start(redis_url=url, redis_timeout_s=2.0, items_poll_interval_s=3600.0)

    def posted(name: str, kind: str) -> int:
        event = {kind: name, "item_id": "i1"}
        return client.post("/interactions", json=event).status_code

    def is_degraded(name: str, **more: str) -> bool:
        response = client.get(f"/recommend/{name}", params=more)
        assert response.status_code == 200, response.text
        return response.json()["degraded"]

    kinds = ("user_id", "session_id")
    assert [posted(name, kind) for name in (gone, there) for kind in kinds] == [202] * 4
    nodes[0].kill()
    try:
        assert is_degraded(gone)
        assert not is_degraded(there)
        assert is_degraded(there, session_id=gone)
        both = client.post("/recommend", json={"users": [there, gone]}).json()["results"]
        assert [result["degraded"] for result in both] == [False, True]
        assert [posted(gone, kind) for kind in kinds] == [503, 503]
        assert [posted(there, kind) for kind in kinds] == [202, 202]
        # What could not be written keeps nobody else from being read.
        assert not is_degraded(there)
    finally:
        nodes[0].start()
    wait_for(lambda: posted(gone, "session_id") == 202)
    wait_for(lambda: not is_degraded(gone))


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come back"
        time.sleep(0.05)


def test_without_any_node_sessions_are_refused_and_answers_are_degraded(tmp_path, start, deploy):
    deploy()
    with cluster(valkey_program(), tmp_path / "nodes") as nodes:
        client = start(redis_url=f"redis+cluster://127.0.0.1:{nodes[0].port}")
        assert not client.get("/recommend", params={"session_id": "s"}).json()["degraded"]
    assert client.get("/recommend", params={"session_id": "s"}).json()["degraded"]
    event = {"session_id": "s", "item_id": "i1"}
    assert client.post("/interactions", json=event).status_code == 503


def test_a_cluster_that_cannot_be_found_is_a_store_that_does_not_reply():
    async def work(_, sessions):
        with pytest.raises(StoreUnavailable):
            await sessions.append("default", [of_session("s", "a")])
        with pytest.raises(StoreUnavailable):
            await sessions.history("default", "s", {})
        with pytest.raises(StoreUnavailable):
            await sessions.join("default", {"s": "u"}, {})

    run("redis+cluster://127.0.0.1:1", work, timeout_s=0.2)

import asyncio
from pathlib import Path

import pytest
import redis
from pydantic import ValidationError

from benchmarks.servers import Server, cluster, redis_program, running, sentinel, valkey_program
from service.errors import DurabilityUnsupported
from service.events import Interaction, SessionInteraction
from service.settings import Settings
from service.store.client import EventStore
from service.store.connection import connect_blocking, parse_address
from service.store.sessions import Sessions
from training.event_log import drain, read_events

NOW_MS = 1_800_000_000_000
PROGRAMS = [
    pytest.param(valkey_program(), id="valkey"),
    pytest.param(
        redis_program() or "",
        id="redis",
        marks=pytest.mark.skipif(
            redis_program() is None, reason="this machine has no redis-server program"
        ),
    ),
]


def events(count: int) -> list[Interaction]:
    return [
        Interaction.model_validate(
            {"user_id": f"u{n}", "item_id": f"i{n}", "event_id": str(n)},
            context={"now_ms": NOW_MS},
        )
        for n in range(count)
    ]


def run(url: str, work, **settings):
    async def main():
        store = EventStore(url, Settings.load({}, redis_timeout_s=5.0, **settings))
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_cluster_of_three_takes_every_event_once_and_is_drained(program, tmp_path):
    async def work(store):
        first, again = await asyncio.gather(
            store.append("default", events(200), {}), store.append("default", events(200), {})
        )
        sessions = Sessions(store, Settings.load({}))
        of_session = {"session_id": "s", "item_id": "i", "event_id": "x"}
        event = SessionInteraction.model_validate(of_session, context={"now_ms": NOW_MS})
        await sessions.append("default", [event])
        joined = await sessions.join("default", {"s": "u0"}, {})
        histories = await asyncio.gather(*(store.history("default", f"u{n}") for n in range(200)))
        return sum(first) + sum(again), joined, [len(history) for history in histories]

    with cluster(program, tmp_path / "nodes") as nodes:
        # One node is enough to find the others.
        url = f"redis+cluster://127.0.0.1:{nodes[0].port}"
        taken, joined, lengths = run(url, work, redis_max_connections=4)
        with connect_blocking(url) as client:
            report = drain(client, "default", tmp_path / "log")
        for node in nodes:
            with redis.Redis(port=node.port) as client:
                assert client.dbsize() > 0
    assert (taken, joined, lengths) == (200, 1, [2] + [1] * 199)
    assert (report.num_entries, read_events(tmp_path / "log").num_rows) == (201, 201)


@pytest.mark.slow
def test_durability_is_refused_clearly_on_a_cluster(tmp_path):
    with cluster(valkey_program(), tmp_path) as nodes:
        url = f"redis+cluster://127.0.0.1:{nodes[0].port}"
        with pytest.raises(DurabilityUnsupported, match="appendfsync always"):
            run(url, lambda store: store.append("default", events(1), {}, sync=True))


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_sentinel_names_the_master(program, tmp_path):
    with (
        running(program, tmp_path / "master") as master,
        sentinel(program, tmp_path / "sentinel", master) as port,
    ):
        url = f"redis+sentinel://127.0.0.1:{port}/main/0"
        assert run(url, lambda store: store.append("default", events(3), {})) == [True] * 3
        with connect_blocking(url) as client:
            assert drain(client, "default", tmp_path / "log").num_entries == 3


@pytest.fixture
def server(tmp_path: Path):
    with running(valkey_program(), tmp_path / "server") as server:
        yield server


@pytest.mark.slow
def test_durable_events_are_on_the_disk_when_they_are_acknowledged(server: Server):
    async def work(store):
        first = await store.append("default", events(3), {}, sync=True)
        return first, await store.append("default", events(3), {}, sync=True)

    # fsynced every second only, so without waiting the kill would lose them.
    assert run(server.url, work) == ([True] * 3, [False] * 3)
    with redis.Redis(port=server.port) as client:
        persisted = client.info("persistence")
        assert persisted["aof_pending_bio_fsync"] == 0
        assert client.execute_command("WAITAOF", 1, 0, 100) == [1, 0]


@pytest.mark.slow
def test_durability_is_refused_clearly_where_the_server_keeps_nothing(tmp_path):
    with (
        running(valkey_program(), tmp_path, appendonly="no") as server,
        pytest.raises(DurabilityUnsupported, match="appendonly yes"),
    ):
        run(server.url, lambda store: store.append("default", events(1), {}, sync=True))


@pytest.mark.slow
@pytest.mark.skipif(redis_program() is None, reason="this machine has no redis-server program")
def test_durability_is_refused_clearly_by_an_old_server_and_nothing_is_taken(tmp_path):
    with running(str(redis_program()), tmp_path) as server:
        with redis.Redis(port=server.port) as client:
            if tuple(map(int, client.info()["redis_version"].split(".")[:2])) >= (7, 2):
                pytest.skip("this redis-server knows WAITAOF")
        with pytest.raises(DurabilityUnsupported, match="lacks WAITAOF"):
            run(server.url, lambda store: store.append("default", events(1), {}, sync=True))
        with redis.Redis(port=server.port) as client:
            assert client.dbsize() == 0


@pytest.mark.parametrize(
    ("url", "hosts", "service", "database"),
    [
        ("redis+cluster://a:7000,b", (("a", 7000), ("b", 6379)), "", 0),
        ("rediss+cluster://[::1]:7000/0", (("::1", 7000),), "", 0),
        ("redis+sentinel://a,b:7/main", (("a", 26379), ("b", 7)), "main", 0),
        ("redis+sentinel://a/main/3", (("a", 26379),), "main", 3),
    ],
)
def test_urls_of_several_hosts_are_taken_apart(url, hosts, service, database):
    address = parse_address(url)
    assert (address.hosts, address.service, address.database) == (hosts, service, database)


def test_passwords_of_servers_and_of_sentinels_are_told_apart_and_never_shown():
    address = parse_address("rediss+sentinel://me:p%40ss@a/main?sentinel_password=other")
    assert dict(address.login) == {"username": "me", "password": "p@ss", "ssl": True}
    assert dict(address.sentinel_login) == {"password": "other"}
    assert "p@ss" not in repr(address)
    assert "other" not in repr(address)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:1",
        "redis+sentinel://a:1/main/x",
        "redis+sentinel://a:1/main?sentinel_passwort=x",
        "redis+cluster://a:1/3",
        "redis+cluster://a:x",
        "redis+cluster://",
        "http://a",
    ],
)
def test_a_url_that_makes_no_sense_stops_the_start(url):
    with pytest.raises(ValidationError, match="URL"):
        Settings.load({}, redis_url=url)

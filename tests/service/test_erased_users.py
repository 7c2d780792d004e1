"""From the moment of an erasure on, no worker uses what a version learned of the user."""

import asyncio

import pytest
import redis
from fund_world import draft_of_world, make_world

from service.artifact import erasures_name, read_manifest, set_current
from service.erasure.marks import Carried, Mark, MarkStore
from service.errors import StoreUnavailable
from service.events import digest_of, keys_of, partition_of
from service.settings import Settings
from service.store.client import EventStore

# Nothing is noticed by polling while a test runs.
RARELY = {"items_poll_interval_s": 3600.0, "poll_interval_s": 3600.0, "redis_timeout_s": 10.0}
STRANGER = "nobody knows me"


@pytest.fixture
def server(redis_url):
    with redis.Redis.from_url(redis_url) as server:
        yield server


@pytest.fixture
def workers(start, deploy, redis_url):
    deploy()
    return [start(redis_url=redis_url, **RARELY) for _ in range(2)]


def erase(worker, user_id: str = "u1") -> None:
    response = worker.run(worker.http.delete(f"/users/{user_id}"))
    assert response.status_code == 200, response.text


def post(worker, item_id: str, user_id: str = "u1") -> None:
    event = {"user_id": user_id, "item_id": item_id}
    assert worker.post("/interactions", json=event).status_code == 202


def answer(worker, user_id: str = "u1", **params) -> list[dict]:
    response = worker.get(f"/recommend/{user_id}", params={"k": 12} | params)
    assert response.status_code == 200, response.text
    assert not response.json()["degraded"]
    return response.json()["items"]


def mark_of(server, user_id: str = "u1") -> str:
    [(member, _)] = server.zrange(
        keys_of("default", partition_of(user_id)).history(user_id), 0, 0, withscores=True
    )
    return member[1:].decode()


def test_every_worker_takes_an_erased_user_for_a_stranger_from_its_next_answer_on(workers):
    one, other = workers
    before = answer(other)
    erase(one)
    assert answer(one) == answer(other) == answer(other, STRANGER) != before


def test_that_costs_no_further_command_of_redis(workers, server):
    one, _ = workers
    erase(one)
    server.config_resetstat()
    answer(one)
    counts = {
        name: said["calls"]
        for name, said in server.info("commandstats").items()
        if name not in ("cmdstat_config|resetstat", "cmdstat_client|setinfo", "cmdstat_hello")
    }
    # The history, and what ends a round trip of reads.
    assert counts == {"cmdstat_zrange": 1, "cmdstat_echo": 1}


def test_in_batches_with_reasons_and_in_sessions_too(workers):
    one, other = workers
    erase(one)
    body = {"users": ["u1", STRANGER], "k": 12, "explain": True}
    mine, strangers = other.post("/recommend", json=body).json()["results"]
    assert mine["items"] == strangers["items"]
    assert answer(other, session_id="s") == answer(other, STRANGER, session_id="s")


def test_one_who_comes_back_is_served_from_the_new_events_alone(workers):
    one, other = workers
    post(one, "i4")
    erase(one)
    post(one, "i7")
    post(other, "i7", STRANGER)
    assert answer(other, explain=True) == answer(other, STRANGER, explain=True)
    # u1 was trained by i1 and i2, which may come again.
    assert {"i1", "i2", "i4"} <= {item["item_id"] for item in answer(other)}


def test_what_the_version_learned_of_the_user_is_not_exported_any_more(workers):
    one, other = workers
    assert other.get("/users/u1").json()["trained_items"] == ["i1", "i2"]
    erase(one)
    told = other.get("/users/u1").json()
    assert (told["trained_items"], told["history"]) == (None, [])


def test_a_version_that_an_experiment_serves_does_not_know_the_user_either(
    start, deploy, make_draft, redis_url
):
    old = deploy()
    deploy(make_draft(seed=1))
    client = start(redis_url=redis_url, **RARELY)
    arms = [{"name": "a", "share": 1e-9}, {"name": "b", "share": 1 - 1e-9, "version": old}]
    assert client.run(
        client.http.put("/admin/experiments/try", json={"arms": arms})
    ).status_code in (200, 201)
    erase(client)
    response = client.get("/recommend/u1", params={"k": 12}).json()
    assert (response["model_version"], response["arm"]) == (old, "b")
    assert response["items"] == answer(client, STRANGER)


def test_a_worker_that_has_caught_up_needs_no_history_to_know_it(workers, server):
    one, other = workers
    erase(one)
    server.delete(keys_of("default", partition_of("u1")).history("u1"))
    other.run(other.state.erasures.catch_up("default"))
    assert answer(other) == answer(other, STRANGER)


def test_a_worker_that_starts_later_knows_it(start, workers, server, redis_url):
    erase(workers[0])
    server.delete(keys_of("default", partition_of("u1")).history("u1"))
    late = start(redis_url=redis_url, **RARELY)
    assert answer(late) == answer(late, STRANGER)


def test_what_redis_loses_a_worker_still_knows(workers, server):
    one, _ = workers
    erase(one)
    server.flushall()
    erase(one, "u2")
    assert answer(one) == answer(one, STRANGER)


def test_while_redis_does_not_reply_the_user_stays_a_stranger(workers):
    one, _ = workers
    erase(one)

    async def unavailable(*_):
        raise StoreUnavailable("down", retry_after_s=1)

    one.state.store.history = unavailable
    mine, strangers = (one.get(f"/recommend/{user}").json() for user in ("u1", STRANGER))
    assert mine["degraded"]
    assert mine["items"] == strangers["items"]


def test_a_version_trained_after_the_erasure_knows_who_came_back_and_a_rollback_does_not(
    start, deploy, make_draft, redis_url, server, tmp_path
):
    old = deploy()
    client = start(redis_url=redis_url, **RARELY)
    trained = answer(client)
    erase(client)
    deploy(make_draft(watermark={erasures_name(partition_of("u1")): mark_of(server)}))
    client.state.catalogs.refresh()
    assert answer(client) == trained
    set_current(tmp_path / "artifacts", "default", old)
    client.state.catalogs.refresh()
    assert answer(client) == answer(client, STRANGER)


def test_one_erased_again_is_unknown_to_a_version_from_in_between(
    start, deploy, make_draft, redis_url, server
):
    deploy()
    client = start(redis_url=redis_url, **RARELY)
    erase(client)
    deploy(make_draft(watermark={erasures_name(partition_of("u1")): mark_of(server)}))
    client.state.catalogs.refresh()
    erase(client)
    assert answer(client) == answer(client, STRANGER)


def test_a_mark_is_lifted_when_no_version_from_before_the_erasure_is_left(
    workers, publish, make_draft, server, redis_url, tmp_path
):
    erase(workers[0])
    root = tmp_path / "artifacts"
    watermark = {erasures_name(partition_of("u1")): mark_of(server)}
    [old] = [path.name for path in (root / "default").iterdir() if path.is_dir()]
    new = publish(root, draft=make_draft(watermark=watermark))
    manifests = [read_manifest(root, "default", version) for version in (old, new)]

    async def main():
        store = EventStore(redis_url, Settings.load({}))
        marks = MarkStore(store)
        try:
            kept = await marks.lift("default", manifests)
            left = [*(await marks.read("default")).marks]
            return kept, left, await marks.lift("default", manifests[1:]), await marks.lift("x", [])
        finally:
            await store.close()

    assert asyncio.run(main()) == (0, [digest_of("u1")], 1, 0)


@pytest.mark.parametrize(
    ("mark", "is_carried"),
    [
        ((7, 5, 0), True),
        ((7, 5, 2), True),
        ((7, 5, 3), False),
        ((7, 6, 0), False),
        ((8, 1, 0), False),
    ],
)
def test_a_version_was_trained_after_the_erasures_up_to_its_watermark(
    make_draft, publish, tmp_path, mark, is_carried
):
    version = publish(tmp_path, draft=make_draft(watermark={"p07-erased": "5-2", "p07": "9-9"}))
    carried = Carried(read_manifest(tmp_path, "default", version))
    assert (Mark(*mark) in carried) is is_carried


def test_redis_holds_no_id_of_an_erased_user_for_longer_than_a_day(workers, server):
    erase(workers[0])
    with_id = [key for key in server.scan_iter() if b"u1" in key]
    assert [0 < server.ttl(key) <= 86_400 for key in with_id] == [True]
    [value] = server.hgetall("mr:default:{erased}:users").items()
    assert value[0].decode() == digest_of("u1")


WORLD = make_world()


@pytest.fixture
def funds(start, deploy, redis_url):
    deploy(draft_of_world(WORLD), "funds")
    return [start(redis_url=redis_url, audit_fsync=False, **RARELY) for _ in range(2)]


def erase_fund(worker) -> None:
    response = worker.run(worker.http.delete("/users/f01?catalog=funds"))
    assert response.status_code == 200, response.text


PATHS = [
    "/funds?k=50",
    "/funds?q=f01",
    "/funds/f05/similar?k=50",
    "/funds/f05/similar?k=50&by=learned",
    "/funds/f05/investments?k=50",
    "/funds/trends?k=40",
    "/companies/c001/investors?k=50",
    "/companies/c003/investors?k=50",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_answer_about_others_names_an_erased_fund(funds, path):
    one, other = funds
    name = f'"{WORLD.managers["name"][1]}"'
    erase_fund(one)
    content = other.get(path)
    assert content.status_code == 200
    assert name not in content.text
    assert '"f01"' not in content.text


def test_answers_name_a_fund_that_is_not_erased(funds):
    one, _ = funds
    assert any('"f01"' in one.get(path).text for path in PATHS[:5])
    assert '"f01"' in one.get("/funds/trends?k=40").text


@pytest.mark.parametrize("path", ["", "/investments", "/similar"])
def test_an_erased_fund_is_not_found(funds, path):
    one, other = funds
    assert other.get(f"/funds/f01{path}").status_code == 200
    erase_fund(one)
    response = other.get(f"/funds/f01{path}")
    assert response.status_code == 404
    assert "CAPITAL 1" not in response.text

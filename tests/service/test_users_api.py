import asyncio
from urllib.parse import quote

import pytest
import redis

from service.erasure.places import versions_knowing
from service.erasure.users import Erasure
from service.events import Tombstone, digest_of, keys_of, partition_of
from service.settings import Settings
from service.store.client import EventStore

TYPES = {"view": {"sign": "positive"}, "hide": {"sign": "negative"}, "look": {"sign": "neutral"}}


@pytest.fixture
def client(start, deploy, make_draft, redis_url):
    deploy(make_draft(recipe={"event_types": TYPES}))
    return start(redis_url=redis_url)


@pytest.fixture
def server(redis_url):
    with redis.Redis.from_url(redis_url) as server:
        yield server


def post(client, **event):
    response = client.post("/interactions", json={"user_id": "ann", "item_id": "i0"} | event)
    assert response.status_code == 202, response.text


def erase(client, user_id: str = "ann"):
    response = client.run(client.http.delete(f"/users/{user_id}"))
    assert response.status_code == 200, response.text
    return response.json()


def export(client, user_id: str = "ann"):
    response = client.get(f"/users/{user_id}")
    assert response.status_code == 200, response.text
    return response.json()


def test_a_user_is_exported_with_history_never_shown_and_waiting_events(client):
    post(client, event_id="1", type="view", timestamp=1_767_355_200_000)
    post(client, event_id="2", type="hide", item_id="i3", timestamp=1_767_355_200_001)
    post(client, event_id="3", user_id="someone else")
    told = export(client)
    assert told["history"] == [
        {"item_id": "i0", "type": "view", "positive": True, "timestamp": 1_767_355_200_000},
        {"item_id": "i3", "type": "hide", "positive": False, "timestamp": 1_767_355_200_001},
    ]
    assert [event["event_id"] for event in told["waiting_events"]] == ["1", "2"]
    assert told["trained_items"] is None


def test_what_the_version_learned_a_user_by_is_exported(client):
    told = export(client, "u1")
    assert (told["history"], told["waiting_events"]) == ([], [])
    assert told["trained_items"] == ["i1", "i2"]


def test_an_erased_user_is_like_a_new_one(client):
    before = client.recommended("ann")
    post(client, type="view")
    post(client, type="hide", item_id="i3")
    assert client.recommended("ann") != before
    erased = erase(client)
    assert (erased["history"], erased["waiting_events"]) == (2, 2)
    assert client.recommended("ann") == before
    told = export(client)
    assert (told["history"], told["waiting_events"]) == ([], [])


def test_only_the_user_is_erased_and_only_what_was_before(client):
    other = next(f"x{n}" for n in range(99) if partition_of(f"x{n}") == partition_of("ann"))
    post(client)
    post(client, user_id=other)
    erase(client)
    post(client, event_id="later")
    assert [event["event_id"] for event in export(client)["waiting_events"]] == ["later"]
    assert len(export(client, other)["history"]) == 1


def test_an_erasure_leaves_a_tombstone_without_the_id(client, server):
    post(client)
    keys = keys_of("default", partition_of("ann"))
    last = server.xinfo_stream(keys.events)["last-generated-id"]
    erased = erase(client)
    [(_, fields)] = server.xrange(keys.erasures)
    ms, _, seq = last.partition(b"-")
    assert Tombstone.decode(fields) == Tombstone(
        "user", digest_of("ann"), (int(ms), int(seq)), erased["erased_at"]
    )


def test_a_user_who_never_sent_anything_can_be_erased(client, server):
    erased = erase(client)
    keys = keys_of("default", partition_of("ann"))
    [(_, fields)] = server.xrange(keys.erasures)
    assert Tombstone.decode(fields).last == (erased["erased_at"] - 1, 2**53 - 1)


@pytest.mark.parametrize("user_id", ["a/b", "日本", " ", "%", "a?b#c"])
def test_ids_of_any_characters_can_be_erased(client, user_id):
    post(client, user_id=user_id)
    assert erase(client, quote(user_id, safe=""))["history"] == 1


def test_long_streams_are_searched_to_their_end(client):
    events = [{"user_id": "ann", "item_id": "i0", "type": "look"} for _ in range(1000)]
    for _ in range(2):
        assert client.post("/interactions", json=events).status_code == 202
    post(client)
    assert erase(client)["waiting_events"] == 2001


def test_without_a_store_nothing_can_be_erased(start, deploy):
    deploy()
    client = start()
    response = client.run(client.http.delete("/users/ann"))
    assert response.status_code == 503
    assert client.get("/users/ann").status_code == 503


def test_unknown_catalogs_are_refused(client):
    assert client.get("/users/ann?catalog=none").status_code == 404


def test_an_erased_item_leaves_every_history_and_stream(client, redis_url):
    for n in range(40):
        post(client, user_id=f"x{n}", item_id="i0")
        post(client, user_id=f"x{n}", item_id="i00")

    async def main():
        store = EventStore(redis_url, Settings.load({}))
        try:
            erasure = Erasure(store)
            removed = await erasure.erase_item("default", "i0")
            return removed, await erasure.traces_of_item("default", "i0")
        finally:
            await store.close()

    removed, left = asyncio.run(main())
    assert (removed.history, removed.waiting_events) == (40, 40)
    assert (left.history, left.waiting_events) == (0, 0)
    assert [entry["item_id"] for entry in export(client, "x7")["history"]] == ["i00"]


def test_an_erased_item_leaves_sessions_of_people_who_never_said_who_they_are(
    client, redis_url, server
):
    for n in range(30):
        session = {"session_id": f"s:session:{n}", "type": "view"}
        events = [session | {"item_id": item} for item in ("i0", "i00", "i0")]
        assert client.post("/interactions", json=events).status_code == 202

    async def main():
        store = EventStore(redis_url, Settings.load({}, redis_timeout_s=10.0))
        try:
            erasure = Erasure(store)
            before = await erasure.traces_of_item("default", "i0")
            removed = await erasure.erase_item("default", "i0")
            return before, removed, await erasure.traces_of_item("default", "i0")
        finally:
            await store.close()

    before, removed, left = asyncio.run(main())
    assert (before.sessions, removed.sessions, left.sessions) == (60, 60, 0)
    keys = [*server.scan_iter(b"*:session*")]
    assert len(keys) == 60  # every session has its events, and their order
    assert {server.hlen(k) if b"}:session:" in k else server.zcard(k) for k in keys} == {1}


def test_versions_that_know_an_id_are_found(deploy, make_draft, tmp_path):
    first = deploy(make_draft(num_users=6))
    deploy(make_draft(num_users=5))
    root = tmp_path / "artifacts"
    assert versions_knowing(root, "default", "user", "u5") == [first]
    assert versions_knowing(root, "default", "item", "u5") == []

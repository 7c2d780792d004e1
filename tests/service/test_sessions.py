import asyncio

import pytest
import redis

from service.events import keys_of, partition_of

TYPES = {"view": {"sign": "positive"}, "hide": {"sign": "negative"}, "look": {"sign": "neutral"}}


@pytest.fixture
def client(start, deploy, make_draft, redis_url):
    deploy(make_draft(recipe={"event_types": TYPES}))
    return start(redis_url=redis_url)


def post(client, **event):
    response = client.post("/interactions", json={"item_id": "i0"} | event)
    assert response.status_code == 202, response.text
    return response.json()


def session(client, session_id: str = "s", **params):
    response = client.get("/recommend", params={"session_id": session_id} | params)
    assert response.status_code == 200, response.text
    return response.json()


def ids(answer) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def stream_length(redis_url: str, user_id: str) -> int:
    with redis.Redis.from_url(redis_url) as server:
        return server.xlen(keys_of("default", partition_of(user_id)).events)


def test_a_session_without_events_gets_popular_items(client):
    answer = session(client, k=2)
    assert (answer["user_id"], answer["session_id"]) == (None, "s")
    assert [(item["item_id"], item["source"]) for item in answer["items"]] == [
        ("i0", "popular"),
        ("i1", "popular"),
    ]


def test_the_first_event_of_a_session_makes_its_answer_personal(client):
    post(client, session_id="s", item_id="i3")
    answer = session(client, k=12)
    assert {item["source"] for item in answer["items"]} == {"model"}
    assert "i3" not in ids(answer)


def test_a_session_is_served_as_a_new_user_with_the_same_events(client):
    for item_id in ("i3", "i5"):
        post(client, session_id="s", item_id=item_id)
        post(client, user_id="new", item_id=item_id)
    assert ids(session(client)) == client.recommended("new")


def test_signs_hold_in_sessions_as_for_users(client):
    post(client, session_id="s", item_id="i3", type="hide")
    post(client, session_id="s", item_id="i4", type="look")
    items = ids(session(client, k=12, exclude_seen="false"))
    assert ("i3" in items, "i4" in items) == (False, True)


def test_sessions_and_users_of_one_name_are_strangers(client):
    post(client, session_id="u1", item_id="i5")
    before = client.recommended("u1", k=12)
    assert "i5" in before


def test_a_repeated_event_of_a_session_is_a_duplicate(client):
    post(client, session_id="s", event_id="e")
    assert post(client, session_id="s", event_id="e")["duplicates"] == 1


def test_users_and_sessions_may_come_in_one_batch(client):
    events = [
        {"session_id": "s", "item_id": "i1", "event_id": "a"},
        {"user_id": "u1", "item_id": "i1", "event_id": "b"},
        {"session_id": "s", "item_id": "i1", "event_id": "a"},
        {"item_id": "i1"},
    ]
    body = client.post("/interactions?results=true", json=events).json()
    assert [r["status"] for r in body["results"]] == [
        *("accepted", "accepted", "duplicate", "rejected")
    ]
    assert [fault["index"] for fault in body["rejected"]] == [3]


def test_login_makes_the_events_of_a_session_the_users(client, redis_url):
    post(client, session_id="s", item_id="i5")
    post(client, session_id="s", item_id="i7")
    assert stream_length(redis_url, "u1") == 0
    answer = client.post("/sessions/login", json={"session_id": "s", "user_id": "u1"})
    assert (answer.status_code, answer.json()) == (200, {"user_id": "u1", "joined": 2})
    assert not {"i5", "i7"} & set(client.recommended("u1", k=12))
    assert stream_length(redis_url, "u1") == 2


def test_logging_in_again_changes_nothing(client, redis_url):
    post(client, session_id="s", item_id="i5")
    login = {"session_id": "s", "user_id": "u1"}
    client.post("/sessions/login", json=login)
    assert client.post("/sessions/login", json=login).json()["joined"] == 0
    assert stream_length(redis_url, "u1") == 1


def test_what_a_session_does_after_login_joins_at_the_next(client):
    login = {"session_id": "s", "user_id": "u1"}
    client.post("/sessions/login", json=login)
    post(client, session_id="s", item_id="i5")
    assert client.post("/sessions/login", json=login).json()["joined"] == 1


def test_an_event_with_user_and_session_logs_the_session_in(client):
    post(client, session_id="s", item_id="i5")
    post(client, session_id="s", user_id="u1", item_id="i7")
    assert not {"i5", "i7"} & set(client.recommended("u1", k=12))


def test_a_user_in_a_session_that_has_not_logged_in_is_served_from_both(client):
    post(client, session_id="s", item_id="i5")
    post(client, user_id="u1", item_id="i7")
    items = client.recommended("u1", k=12, session_id="s")
    assert not {"i5", "i7"} & set(items)
    assert "i5" in client.recommended("u1", k=12)


def test_a_session_keeps_its_newest_events_and_expires(start, deploy, redis_url):
    deploy()
    client = start(redis_url=redis_url, history_cap=3, session_ttl_s=60)
    for number in range(5):
        post(
            client,
            session_id="s",
            item_id=f"i{number}",
            timestamp=f"2026-01-01T00:00:0{number}Z",
        )
    assert set(ids(session(client, k=12))) & {f"i{n}" for n in range(5)} == {"i0", "i1"}
    events, order = keys_of("default", partition_of("s")).session("s")
    with redis.Redis.from_url(redis_url) as server:
        assert (0 < server.ttl(events) <= 60, 0 < server.ttl(order) <= 60) == (True, True)


def test_a_session_is_answered_without_redis_and_told_so(start, deploy):
    deploy()
    answer = session(start(redis_url="unix:///nowhere/redis.sock"))
    assert (answer["degraded"], len(answer["items"])) == (True, 10)


def test_login_without_redis_is_refused(start, deploy):
    deploy()
    login = {"session_id": "s", "user_id": "u1"}
    assert start().post("/sessions/login", json=login).status_code == 503


def test_an_event_posted_while_the_session_logs_in_is_not_lost(client):
    post(client, session_id="s", item_id="i5")

    async def both():
        event = {"session_id": "s", "item_id": "i7"}
        login = {"session_id": "s", "user_id": "u1"}
        await asyncio.gather(
            client.http.post("/sessions/login", json=login),
            client.http.post("/interactions", json=event),
        )
        return await client.http.post("/sessions/login", json=login)

    client.run(both())
    assert not {"i5", "i7"} & set(client.recommended("u1", k=12))

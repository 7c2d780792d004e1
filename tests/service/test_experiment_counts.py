"""What became of recommendations: exact under retries, several workers, restarts and outages."""

import asyncio

import pytest
import redis

from service.errors import StoreUnavailable
from service.experiments.ids import Origin, new_id, origin_of

TYPES = {
    "view": {"sign": "positive"},
    "purchase": {"sign": "positive"},
    "hide": {"sign": "negative"},
}
PATH = "/admin/experiments/try"
ARMS = [{"name": "a", "share": 1e-9}, {"name": "b", "share": 1 - 1e-9}]


@pytest.fixture
def begin(start, deploy, make_draft, redis_url):
    deploy(make_draft(recipe={"event_types": TYPES}))
    return lambda **settings: start(redis_url=redis_url, **settings)


@pytest.fixture
def client(begin):
    return begin()


def recommended(client, user: str = "u1", k: int = 5, **params) -> tuple[str, list[str]]:
    content = client.get(f"/recommend/{user}", params={"k": k} | params).json()
    return content["recommendation_id"], [item["item_id"] for item in content["items"]]


def post(client, *events: dict) -> dict:
    response = client.post("/interactions", json=[{"user_id": "u1"} | event for event in events])
    assert response.status_code == 202, response.text
    return response.json()


def outside(client, **params) -> dict:
    return client.get("/admin/experiments", params=params).json()["outside"]


def shown(recommendation_id: str, items: list[str]) -> list[dict]:
    return [
        {"type": "impression", "item_id": item, "position": rank}
        | {"recommendation_id": recommendation_id}
        for rank, item in enumerate(items, start=1)
    ]


def click(recommendation_id: str, item: str, **event) -> dict:
    return {"type": "click", "item_id": item, "recommendation_id": recommendation_id} | event


def click_through(metrics: dict) -> dict:
    return {entry["k"]: (entry["count"], entry["of"]) for entry in metrics["click_through"]}


def conversions(metrics: dict) -> dict:
    return {c["type"]: (c["events"], c["count"], c["of"]) for c in metrics["conversions"]}


def test_impressions_and_clicks_are_counted_by_position(client):
    first, items = recommended(client)
    second, others = recommended(client, "u2")
    post(client, *shown(first, items), *shown(second, others))
    post(client, click(first, items[0]), click(first, items[3]), click(second, others[1]))
    metrics = outside(client)
    assert click_through(metrics) == {
        1: (1, 2),
        3: (2, 6),
        5: (3, 10),
        10: (3, 10),
        20: (3, 10),
        None: (3, 10),
    }
    assert conversions(metrics) == {"click": (3, 2, 2)}


def test_a_click_counts_at_the_place_where_the_item_was_shown_whichever_came_first(client):
    named, items = recommended(client)
    post(client, click(named, items[1], position=9))
    assert click_through(outside(client))[None] == (0, 0)
    post(client, *shown(named, items))
    assert click_through(outside(client))[1] == (0, 1)
    assert click_through(outside(client))[3] == (1, 3)


def test_places_that_are_unknown_or_far_down_count_in_the_whole_only(client):
    named, items = recommended(client)
    there = {"type": "impression", "recommendation_id": named}
    post(client, {"item_id": items[0], **there}, {"item_id": items[1], "position": 400, **there})
    post(client, click(named, items[1]))
    assert click_through(outside(client))[20] == (0, 0)
    assert click_through(outside(client))[None] == (1, 2)


def test_a_purchase_is_a_click_and_a_dislike_is_not(client):
    named, items = recommended(client)
    post(client, *shown(named, items))
    bought = {"type": "purchase", "item_id": items[0], "recommendation_id": named}
    post(client, bought, bought | {"item_id": items[1], "type": "hide"})
    metrics = outside(client)
    assert click_through(metrics)[None] == (1, 5)
    assert conversions(metrics) == {"hide": (1, 1, 1), "purchase": (1, 1, 1)}


def test_retries_are_counted_once(client):
    named, items = recommended(client)
    events = [*shown(named, items), click(named, items[0])]
    identified = [event | {"event_id": f"e{n}"} for n, event in enumerate(events)]
    assert post(client, *identified)["accepted"] == 6
    assert post(client, *identified)["duplicates"] == 6
    assert click_through(outside(client))[None] == (1, 5)
    # The same once more under other ids: the item was shown and clicked already.
    post(client, *events)
    assert click_through(outside(client))[None] == (1, 5)
    assert conversions(outside(client))["click"] == (1, 1, 1)


def test_events_taken_before_a_lost_reply_are_counted_by_the_retry(client, monkeypatch):
    named, items = recommended(client)
    event = click(named, items[0], event_id="e", user_id="u1")

    async def lost(*_, **__):
        raise StoreUnavailable("no reply")

    with monkeypatch.context() as patch:
        patch.setattr(client.state.experiments, "attribute", lost)
        assert client.post("/interactions", json=event).status_code == 503
    assert conversions(outside(client)) == {}
    assert post(client, event)["duplicates"] == 1
    assert conversions(outside(client))["click"] == (1, 1, 1)


def test_two_workers_and_a_restart_add_up(begin):
    first, second = begin(), begin()
    for worker in (first, second):
        for _ in range(3):
            named, items = recommended(worker)
            post(worker, click(named, items[0]))
        worker.run(worker.state.experiments.flush())
    assert outside(begin())["recommendations"] == 6
    assert conversions(outside(first))["click"] == (6, 6, 6)


def test_stopping_sends_what_was_counted(begin):
    client = begin()
    recommended(client)
    client.run(client.state.experiments.stop())
    assert outside(begin())["recommendations"] == 1


def test_a_batch_of_counts_whose_reply_was_lost_is_added_once(client, monkeypatch):
    store, real = client.state.store, client.state.store.call_function
    recommended(client)

    async def loses_the_reply(*arguments):
        await real(*arguments)
        raise StoreUnavailable("the reply was lost")

    with monkeypatch.context() as patch:
        patch.setattr(store, "call_function", loses_the_reply)
        with pytest.raises(StoreUnavailable):
            client.run(client.state.experiments.flush())
    recommended(client)
    client.run(client.state.experiments.flush())
    client.run(client.state.experiments.flush())
    assert outside(client)["recommendations"] == 2


def test_answers_are_counted_while_another_batch_is_on_its_way(client):
    async def both():
        flushing = asyncio.create_task(client.state.experiments.flush())
        for _ in range(5):
            await client.http.get("/recommend/u1")
        await flushing

    recommended(client)
    client.run(both())
    assert outside(client)["recommendations"] == 6


def test_sessions_are_counted_when_it_happens_and_not_again_at_login(client):
    content = client.get("/recommend?session_id=s1&k=3").json()
    named, item = content["recommendation_id"], content["items"][0]["item_id"]
    event = {"session_id": "s1", **click(named, item)}
    client.post("/interactions", json=event)
    assert conversions(outside(client))["click"] == (1, 1, 1)
    client.post("/sessions/login", json={"session_id": "s1", "user_id": "u9"})
    assert conversions(outside(client))["click"] == (1, 1, 1)


def test_fallbacks_users_and_coverage_are_counted(client):
    recommended(client, "u1", k=4)
    recommended(client, "u1", k=4)
    recommended(client, "nobody", k=3)
    metrics = outside(client)
    assert (metrics["recommendations"], metrics["users"]) == (3, 2)
    assert (metrics["popular"]["count"], metrics["popular"]["of"]) == (1, 3)
    assert metrics["padded"]["count"] == metrics["degraded"]["count"] == 0
    items = {*recommended(client, "u1", k=4)[1], *recommended(client, "nobody", k=3)[1]}
    assert metrics["coverage"] == {"items": len(items), "share": pytest.approx(len(items) / 12)}


def test_the_pages_of_a_list_are_one_recommendation_whose_items_all_count(client):
    first = client.get("/recommend/u1?k=2&cursor=").json()
    client.get("/recommend/u1", params={"k": 2, "cursor": first["next_cursor"]})
    metrics = outside(client)
    assert (metrics["recommendations"], metrics["coverage"]["items"]) == (1, 4)


def test_every_arm_has_its_own_counts(client):
    client.run(client.http.put(PATH, json={"arms": ARMS}))
    named, items = recommended(client)
    post(client, *shown(named, items), click(named, items[0]))
    report = client.get(PATH).json()
    assert report["state"] == "running"
    arms = {arm["name"]: arm["metrics"] for arm in report["arms"]}
    assert (arms["a"]["recommendations"], arms["b"]["recommendations"]) == (0, 1)
    assert click_through(arms["b"])[1] == (1, 1)
    assert outside(client)["recommendations"] == 0
    assert {entry["arm"] for entry in report["differences"]} <= {"b"}


def test_events_count_for_the_arm_that_served_after_the_experiment_was_stopped(client):
    client.run(client.http.put(PATH, json={"arms": ARMS}))
    named, items = recommended(client)
    client.run(client.http.put(PATH, json={"arms": ARMS, "running": False}))
    post(client, click(named, items[0]))
    report = client.get(PATH).json()
    assert report["state"] == "stopped"
    assert conversions(report["arms"][1]["metrics"])["click"] == (1, 1, 1)


def test_differences_are_against_the_first_arm(client):
    even = [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5}]
    client.run(client.http.put(PATH, json={"arms": even}))
    for user in map("user-{}".format, range(40)):
        content = client.get(f"/recommend/{user}?k=1").json()
        if content["arm"] == "b":
            item = content["items"][0]["item_id"]
            post(client, click(content["recommendation_id"], item, user_id=user))
    [difference] = [
        entry
        for entry in client.get(PATH).json()["differences"]
        if entry["metric"] == "conversion:click"
    ]
    assert (difference["arm"], difference["against"], difference["value"]) == ("b", "a", 1.0)
    assert difference["significant"]


def test_events_after_the_window_or_without_our_id_are_taken_and_not_counted(begin):
    client = begin(attribution_window_s=60)
    now_s = origin_of(recommended(client)[0]).served_s
    late = new_id(Origin(now_s - 61))
    for named in (late, "a-shop's own id", new_id(Origin(now_s + 3600))):
        assert post(client, click(named, "i0"))["accepted"] == 1
    assert conversions(outside(client)) == {}
    assert conversions(outside(client, days=1)) == {}


def test_impressions_and_clicks_are_taken_by_every_catalog_and_change_no_answer(client):
    named, items = recommended(client, k=100)
    assert post(client, *shown(named, items))["accepted"] == len(items)
    post(client, *(click(named, item) for item in items))
    assert recommended(client, k=100)[1] == items


def test_impressions_change_no_answer_where_the_catalog_names_no_types(
    start, deploy, make_draft, redis_url
):
    deploy(make_draft())
    client = start(redis_url=redis_url)
    named, items = recommended(client, k=100)
    post(client, *shown(named, items))
    session = [{"session_id": "s1"} | event for event in shown(named, items)]
    assert client.post("/interactions", json=session).json()["accepted"] == len(items)
    assert recommended(client, k=100)[1] == items
    of_session = client.get("/recommend?session_id=s1&k=100").json()["items"]
    assert len(of_session) == 12


def test_all_counts_expire_and_hold_no_more_than_their_bounds(client, redis_url):
    named, items = recommended(client)
    post(client, *shown(named, items), click(named, items[0]))
    outside(client)
    with redis.Redis.from_url(redis_url) as server:
        keys = {key.decode(): server.ttl(key) for key in server.keys("mr:*")}
        counting = {
            key: ttl
            for key, ttl in keys.items()
            if any(part in key for part in ("}:online:", "}:items:", "}:users:", "}:counted:"))
        }
        [marks] = [key for key in keys if "}:attributed:" in key]
        assert server.memory_usage(marks) < 600
    assert len(counting) >= 4
    assert all(0 < ttl <= 90 * 86_400 for ttl in counting.values())
    assert 0 < keys[marks] <= 86_400 + 120


def test_prometheus_counts_recommendations_and_what_became_of_them(client):
    client.run(client.http.put(PATH, json={"arms": ARMS}))
    named, items = recommended(client)
    post(client, click(named, items[0]), click(named, items[0]))
    client.run(client.state.experiments.flush())
    told = client.get("/metrics").text
    labels = 'arm="b",catalog="default",experiment="try"'
    assert f"mutualrec_recommendations_total{{{labels}}} 1.0" in told
    assert f'mutualrec_attributed_events_total{{{labels},type="click"}} 1.0' in told

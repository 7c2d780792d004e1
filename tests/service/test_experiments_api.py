"""Experiments over HTTP: arms, what they change, and who is in them."""

import logging

import numpy as np
import pyarrow as pa
import pytest

from mutualrec.valkey import private_valkey
from service.artifact import Block
from service.experiments.ids import origin_of

GENRES = ["Drama", "Comedy", "War"] * 4
METADATA = pa.table({"genre": GENRES, "year": list(range(1990, 2002))})
BLOCKS = [
    Block("micro", "learned", 0, 3, 1.0, zscore=False),
    Block("itemcf", "learned", 3, 1, 1.0, zscore=False),
]
PATH = "/admin/experiments/try"


@pytest.fixture
def draft(make_draft):
    return make_draft(item_metadata=METADATA, blocks=BLOCKS)


@pytest.fixture
def client(start, deploy, draft, redis_url):
    deploy(draft)
    return start(redis_url=redis_url)


def put(client, *arms: dict, path: str = PATH, **body):
    return client.run(client.http.put(path, json={"arms": list(arms)} | body))


def define(client, *arms: dict, **body) -> dict:
    response = put(client, *arms, **body)
    assert response.status_code == 200, response.text
    return response.json()


def arm(name: str, share: float = 0.5, **treatment) -> dict:
    return {"name": name, "share": share} | treatment


def everybody(**treatment) -> list[dict]:
    """Nearly all users get the treatment."""
    return [arm("as-it-is", 1e-9), arm("treated", 1 - 1e-9, **treatment)]


def answer(client, user: str = "u1", **params) -> dict:
    response = client.get(f"/recommend/{user}", params={"k": 100} | params)
    assert response.status_code == 200, response.text
    return response.json()


def ids(content: dict) -> list[str]:
    return [item["item_id"] for item in content["items"]]


def test_without_an_experiment_answers_name_none(client):
    content = answer(client)
    assert {"experiment", "arm"} & set(content) == set()
    assert origin_of(content["recommendation_id"]).number == 0


def test_answers_name_the_experiment_and_the_arm_that_their_id_says(client):
    number = define(client, arm("a"), arm("b"))["number"]
    names = []
    for user in map("user-{}".format, range(20)):
        content = answer(client, user)
        assert content["experiment"] == "try"
        origin = origin_of(content["recommendation_id"])
        assert (origin.number, origin.arm) == (number, "ab".index(content["arm"]))
        names.append(content["arm"])
    assert set(names) == {"a", "b"}


def test_users_and_sessions_stay_in_their_arm_over_restarts(start, deploy, draft, redis_url):
    deploy(draft)
    client = start(redis_url=redis_url)
    define(client, arm("a"), arm("b"))
    users = [f"user-{n}" for n in range(10)]

    def arms(client) -> list[str]:
        sessions = [client.get(f"/recommend?session_id={user}").json()["arm"] for user in users]
        batch = client.post("/recommend", json={"users": users}).json()["results"]
        assert sessions == [result["arm"] for result in batch]
        return [answer(client, user)["arm"] for user in users]

    before = arms(client)
    assert arms(client) == before
    assert arms(start(redis_url=redis_url)) == before


def test_another_worker_follows_starts_and_stops(start, deploy, draft, redis_url):
    deploy(draft)
    first, second = start(redis_url=redis_url), start(redis_url=redis_url)
    define(first, arm("a"), arm("b"))
    second.run(second.state.experiments.follow())
    assert answer(second)["arm"] == answer(first)["arm"]
    define(first, arm("a"), arm("b"), running=False)
    second.run(second.state.experiments.follow())
    assert "arm" not in answer(second)


def test_the_arms_of_a_running_experiment_survive_a_redis_that_is_gone(
    start, deploy, draft, tmp_path
):
    deploy(draft)
    with private_valkey(tmp_path / "redis") as url:
        client = start(redis_url=url)
        define(client, arm("a"), arm("b"))
        before = answer(client)["arm"]
    client.run(client.state.experiments.follow())
    content = answer(client)
    assert (content["arm"], content["degraded"]) == (before, True)


def test_an_arm_may_serve_another_version(start, deploy, make_draft, redis_url):
    older = deploy(make_draft(seed=1))
    newer = deploy(make_draft(seed=2))
    client = start(redis_url=redis_url)
    plain = ids(answer(client))
    define(client, *everybody(version=older))
    content = answer(client)
    assert (content["model_version"], content["arm"]) == (older, "treated")
    assert ids(content) != plain
    [result] = client.post("/recommend", json={"users": ["u1"], "k": 100}).json()["results"]
    assert (result["model_version"], ids(result)) == (older, ids(content))
    define(client, *everybody(version=older), running=False)
    assert answer(client)["model_version"] == newer


def test_new_and_hidden_items_hold_in_the_version_of_an_arm_too(
    start, deploy, make_draft, redis_url
):
    older = deploy(make_draft(seed=1))
    deploy(make_draft(seed=2))
    client = start(redis_url=redis_url)
    define(client, *everybody(version=older))
    assert "i9" in ids(answer(client))
    client.run(client.http.patch("/items/i9", json={"hidden": True}))
    assert "i9" not in ids(answer(client))


def test_a_posted_item_never_comes_again_in_any_arm(start, deploy, make_draft, redis_url):
    older = deploy(make_draft(seed=1))
    deploy(make_draft(seed=2))
    client = start(redis_url=redis_url)
    define(client, *everybody(version=older, rules={"diversity": 0.5}))
    client.post("/interactions", json={"user_id": "u1", "item_id": "i9"})
    assert "i9" not in ids(answer(client))


def test_an_arm_may_weigh_the_members_of_the_ensemble(client, draft):
    define(client, *everybody(weights={"itemcf": 0.0}))
    scores = draft.items[:, :3] @ draft.users[1, :3]
    found = {item["item_id"]: item["score"] for item in answer(client, explain=True)["items"]}
    expected = {f"i{row}": scores[row] for row in range(12) if row not in (1, 2)}
    assert found == pytest.approx(expected, abs=1e-5)


def test_an_arm_may_add_rules_to_those_of_the_request(client):
    define(client, *everybody(rules={"filter": 'genre = "War"', "exclude_items": ["i5"]}))
    assert set(ids(answer(client))) == {"i8", "i11"}
    assert set(ids(answer(client, filter="year > 1999"))) == {"i11"}


def test_the_rules_of_an_arm_hold_on_every_page(client):
    define(client, *everybody(rules={"filter": 'genre = "War"'}))
    first = answer(client, k=2, cursor="")
    second = answer(client, k=2, cursor=first["next_cursor"])
    assert set(ids(first)) | set(ids(second)) == {"i5", "i8", "i11"}
    assert first["recommendation_id"] == second["recommendation_id"]


def test_the_rules_of_a_batch_hold_in_an_arm_too(client):
    define(client, *everybody(rules={"caps": [{"field": "genre", "limit": 1}]}))
    body = {"users": ["u1"], "include_items": ["i5", "i8", "i4"], "k": 100}
    [result] = client.post("/recommend", json=body).json()["results"]
    assert {GENRES[int(item[1:])] for item in ids(result)} == {"War", "Comedy"}


def test_an_experiment_rests_while_a_version_does_not_have_what_its_arms_need(
    start, deploy, draft, make_draft, redis_url, caplog
):
    deploy(draft)
    client = start(redis_url=redis_url)
    define(client, *everybody(rules={"filter": "year > 1999"}))
    assert answer(client)["arm"] == "treated"
    deploy(make_draft())
    client.state.catalogs.refresh()
    with caplog.at_level(logging.ERROR):
        assert "arm" not in answer(client)
    deploy(draft)
    client.state.catalogs.refresh()
    assert answer(client)["arm"] == "treated"


def test_nobody_is_in_two_experiments_and_the_one_started_first_has_them(client):
    define(client, arm("a", 0.25), arm("b", 0.25))
    define(client, arm("c"), arm("d"), path="/admin/experiments/later")
    users = [f"user-{n}" for n in range(40)]
    both = {user: answer(client, user)["experiment"] for user in users}
    assert set(both.values()) == {"try", "later"}
    client.run(client.http.delete(PATH))
    assert {answer(client, user)["experiment"] for user in users} == {"later"}


def test_a_restarted_experiment_takes_nobody_from_those_that_run(client):
    halves = [arm("a", 0.25), arm("b", 0.25)]
    number = define(client, *halves)["number"]
    define(client, *halves, running=False)
    define(client, arm("c", 0.4), arm("d", 0.4), path="/admin/experiments/later")
    users = [f"user-{n}" for n in range(40)]
    before = {user for user in users if answer(client, user).get("experiment") == "later"}
    assert define(client, *halves)["number"] == number
    after = {user: answer(client, user).get("experiment") for user in users}
    assert {user for user, name in after.items() if name == "later"} == before
    assert "try" in after.values()


def test_an_experiment_that_could_have_nobody_is_refused(client):
    define(client, arm("a"), arm("b"))
    response = put(client, arm("c"), arm("d"), path="/admin/experiments/later")
    assert response.status_code == 409
    assert "'try' takes every user" in response.json()["detail"]


def test_other_arms_begin_to_count_anew_and_other_words_do_not(client):
    first = define(client, arm("a"), arm("b"))
    same = define(client, arm("a"), arm("b"), description="why not")
    other = define(client, arm("a"), arm("b", rules={"diversity": 0.2}))
    assert (same["number"], same["started_at"]) == (first["number"], first["started_at"])
    assert other["number"] != first["number"]


def test_a_deleted_experiment_is_unknown(client):
    define(client, arm("a"), arm("b"))
    assert client.run(client.http.delete(PATH)).status_code == 204
    response = client.get(PATH)
    assert (response.status_code, response.json()["title"]) == (404, "Unknown experiment")
    assert client.run(client.http.delete(PATH)).status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"arms": [arm("a")]}, "at least 2"),
        ({"arms": [arm("a", 0.6), arm("b", 0.6)]}, "sum to 1.2"),
        ({"arms": [arm("a"), arm("a")]}, "distinct names"),
        ({"arms": [arm("a"), arm("b", 0)]}, "greater than 0"),
        ({"arms": [arm("a"), arm("b", weights={"nope": 1})]}, "its blocks are: micro, itemcf"),
        ({"arms": [arm("a"), arm("b", weights={"micro": 0, "itemcf": 0})]}, "no block"),
        ({"arms": [arm("a"), arm("b", rules={"filter": "yeer = 1"})]}, "did you mean 'year'"),
        ({"arms": [arm("a"), arm("b", rules={"bury": "year >"})]}, "character 7"),
        (
            {"arms": [arm("a"), arm("b", rules={"caps": [{"field": "x", "limit": 1}]})]},
            "genre, year",
        ),
        ({"arms": [arm("a"), arm("b", version="nope")]}, "not a version name"),
        (
            {"arms": [arm("a"), arm("b", version="20200101T000000000000Z-00000000")]},
            "the newest versions are",
        ),
    ],
)
def test_wrong_experiments_get_a_problem_that_names_the_fix(client, body, words):
    response = client.run(client.http.put(PATH, json=body))
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert words in response.text
    assert client.get("/admin/experiments").json()["experiments"] == []


def test_experiments_need_redis(start, deploy):
    deploy()
    client = start()
    assert put(client, arm("a"), arm("b")).status_code == 503
    assert client.get("/admin/experiments").status_code == 503


def test_the_weights_of_an_arm_that_leave_nothing_give_popular_items(
    start, deploy, make_draft, redis_url
):
    users = np.zeros((6, 4), np.float32)
    users[:, 3] = 1
    deploy(make_draft(blocks=BLOCKS, users=users))
    client = start(redis_url=redis_url)
    define(client, *everybody(weights={"itemcf": 0.0}))
    assert {item["source"] for item in answer(client)["items"]} == {"popular"}

import numpy as np
import pyarrow as pa
import pytest

from service.artifact import Block

GENRES = ["Drama", "Comedy", "War"] * 4
METADATA = pa.table({"genre": GENRES, "year": list(range(1990, 2002))})


@pytest.fixture
def draft(make_draft):
    return make_draft(item_metadata=METADATA, category_fields=["genre"])


@pytest.fixture
def client(start, deploy, draft, redis_url):
    deploy(draft)
    return start(redis_url=redis_url)


def results(client, **body) -> list[dict]:
    response = client.post("/recommend", json=body)
    assert response.status_code == 200, response.text
    return response.json()["results"]


def ids(client, **body) -> list[str]:
    [result] = results(client, **{"users": ["u1"], "k": 100} | body)
    return [item["item_id"] for item in result["items"]]


def genre_of(item_id: str) -> str:
    return GENRES[int(item_id[1:])]


def test_every_user_gets_what_they_get_alone_in_the_order_of_the_request(client):
    client.post("/interactions", json={"user_id": "u2", "item_id": "i9"})
    answers = results(client, users=["u2", "nobody", "u1"], k=4)
    assert [answer["user_id"] for answer in answers] == ["u2", "nobody", "u1"]
    for answer in answers:
        alone = client.recommended(answer["user_id"], k=4)
        assert [item["item_id"] for item in answer["items"]] == alone
    assert len({answer["recommendation_id"] for answer in answers}) == 3


def test_the_batch_names_the_one_version_that_answered(client):
    body = client.post("/v1/recommend", json={"users": ["u1", "u2"]}).json()
    versions = {answer["model_version"] for answer in body["results"]}
    assert versions == {body["model_version"]}
    assert body["took_ms"] >= 0


def test_a_session_is_served_without_users(client):
    client.post("/interactions", json={"session_id": "s1", "item_id": "i3"})
    [answer] = results(client, session_id="s1", k=100)
    assert (answer["user_id"], answer["session_id"]) == (None, "s1")
    assert "i3" not in {item["item_id"] for item in answer["items"]}


def test_included_and_excluded_items(client):
    assert set(ids(client, include_items=["i5", "i6", "i1", "nope"])) == {"i5", "i6"}
    assert set(ids(client, include_items=["i5", "i6"], exclude_items=["i6"])) == {"i5"}
    assert set(ids(client, include_items=["i1"], exclude_seen=False)) == {"i1"}


def test_buried_items_come_last_in_their_own_order(client):
    plain, buried = ids(client), ids(client, bury='genre = "War"')
    last = [item for item in plain if genre_of(item) == "War"]
    assert buried == [item for item in plain if item not in last] + last


def test_boosts_raise_and_lower_by_standard_deviations_of_the_users_scores(client, draft):
    scores = draft.items @ draft.users[1]
    body = {
        "boosts": [{"filter": "year = 1995", "weight": 2}, {"filter": "year > 1999", "weight": -1}]
    }
    [answer] = results(client, users=["u1"], k=100, **body)
    boosted = scores + np.std(scores) * np.array([0, 0, 0, 0, 0, 2, 0, 0, 0, 0, -1, -1])
    expected = {f"i{row}": boosted[row] for row in range(12) if row not in (1, 2)}
    found = {item["item_id"]: item["score"] for item in answer["items"]}
    assert found == pytest.approx(expected, abs=1e-5)
    assert list(found) == sorted(expected, key=lambda item: -expected[item])


def test_caps_limit_a_category_per_answer(client):
    assert sorted(map(genre_of, ids(client, caps=[{"field": "genre", "limit": 1}]))) == [
        "Comedy",
        "Drama",
        "War",
    ]


def test_diversity_works_in_get_and_post_alike(client):
    posted = ids(client, diversity=0.7, k=5)
    assert posted == client.recommended("u1", k=5, diversity=0.7)
    assert posted[0] == client.recommended("u1", k=1)[0]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "name at least one user"),
        ({"users": ["u1", "u2"], "session_id": "s"}, 422, "a session has one user"),
        ({"users": ["u1", "u2"], "cursor": ""}, 422, "a cursor belongs to one user"),
        ({"users": ["u1"], "colour": 1}, 422, "colour"),
        ({"users": ["u1"], "k": 501}, 422, "at most 500"),
        ({"users": ["u1"], "filter": "yeer = 1"}, 422, "did you mean 'year'"),
        ({"users": ["u1"], "bury": "year >"}, 422, "character 7"),
        ({"users": ["u1"], "boosts": [{"filter": "year = 1", "weight": 11}]}, 422, "weight"),
        ({"users": ["u1"], "caps": [{"field": "gerne", "limit": 1}]}, 422, "genre, year"),
        ({"users": ["u1"], "diversity": 2}, 422, "diversity"),
        ({"users": [""]}, 422, "1 to 256 bytes"),
        ({"users": [f"u{n}" for n in range(101)]}, 413, "at most 100"),
    ],
)
def test_wrong_bodies_get_a_problem_that_names_the_fix(client, body, status, words):
    response = client.post("/recommend", json=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert words in response.text


def test_redis_down_means_degraded_answers(start, deploy, draft):
    deploy(draft)
    answers = results(start(redis_url="unix:///nowhere/redis.sock"), users=["u1", "new"], k=3)
    assert [(answer["degraded"], len(answer["items"])) for answer in answers] == [(True, 3)] * 2


def test_score_parts_add_up_and_name_the_members(start, deploy, make_draft):
    blocks = [
        Block("micro", "learned", 0, 3, 1.0, zscore=False),
        Block("itemcf", "learned", 3, 1, 0.5, zscore=False),
    ]
    draft = make_draft(blocks=blocks, item_metadata=METADATA)
    deploy(draft)
    body = {"boosts": [{"filter": "year >= 1996", "weight": 1}], "explain": True}
    [answer] = results(start(), users=["u1"], k=100, **body)
    for item in answer["items"]:
        row = int(item["item_id"][1:])
        parts = {part["name"]: part["score"] for part in item["score_parts"]}
        assert parts["micro"] == pytest.approx(draft.users[1, :3] @ draft.items[row, :3], abs=1e-5)
        assert parts["itemcf"] == pytest.approx(draft.users[1, 3] * draft.items[row, 3], abs=1e-5)
        assert ("boosts" in parts) == (row >= 6)
        assert sum(parts.values()) == pytest.approx(item["score"], abs=1e-5)
        assert sum(part["share"] for part in item["score_parts"]) == pytest.approx(1.0)


def reasons(client, user: str, item_id: str) -> dict[str, dict]:
    items = client.get(f"/recommend/{user}?k=100&explain=true").json()["items"]
    [item] = [item for item in items if item["item_id"] == item_id]
    return {reason.pop("kind"): reason for reason in item["reasons"]}


def test_reasons_name_the_users_most_similar_item_the_modality_and_the_category(
    start, deploy, make_draft, redis_url
):
    items = np.zeros((12, 4), np.float32)
    items[:, 0] = 1
    # User u1 has the items 1 and 2: item 5 is like item 2 to the models, like item 1 as an image.
    items[2] = items[5] = [0, 0, 3, 0]
    images = np.tile(np.array([1, 0, 0], np.float32), (12, 1))
    images[1] = images[5] = [0, 1, 0]
    deploy(
        make_draft(
            items=items,
            features={"image": images},
            item_metadata=METADATA,
            category_fields=["genre"],
        )
    )
    told = reasons(start(redis_url=redis_url), "u1", "i5")
    assert told["interacted"] == {"item_id": "i2", "similarity": pytest.approx(1.0)}
    assert told["similar"] == {
        "modality": "image",
        "item_id": "i1",
        "similarity": pytest.approx(1.0),
    }
    # Wars are the items 2, 5, 8 and 11; popularity falls with the row.
    assert told["popular"] == {"field": "genre", "value": "War", "place": 2}


def test_an_item_of_this_minute_is_a_reason_too(start, deploy, make_draft, redis_url):
    items = np.eye(4, dtype=np.float32)[np.arange(12) % 4]
    deploy(make_draft(items=items))
    client = start(redis_url=redis_url)
    client.post("/interactions", json={"user_id": "new", "item_id": "i3"})
    assert reasons(client, "new", "i7")["interacted"]["item_id"] == "i3"


def test_what_is_only_popular_says_so(start, deploy):
    deploy()
    item = start().get("/recommend/nobody?k=1&explain=true").json()["items"][0]
    assert item["reasons"] == [{"kind": "popular"}]
    assert item["score_parts"] == [{"name": "popularity", "score": 12.0, "share": 1.0}]


def test_a_disliked_item_never_comes_whatever_follows(start, deploy, make_draft, redis_url):
    types = {"view": {"sign": "positive"}, "hide": {"sign": "negative"}}
    deploy(make_draft(recipe={"event_types": types}))
    client = start(redis_url=redis_url, history_cap=2)
    client.post("/interactions", json={"user_id": "u1", "item_id": "i5", "type": "hide"})
    views = [{"user_id": "u1", "item_id": f"i{row}"} for row in range(6, 12)]
    client.post("/interactions", json=views)
    for rules in ({}, {"include_items": ["i4", "i5"]}, {"diversity": 0.5}, {"cursor": ""}):
        assert "i5" not in ids(client, exclude_seen=False, **rules)


def test_a_batch_without_rules_is_one_search(client):
    def searches() -> float:
        return client.state.metrics._registry.get_sample_value(
            "mutualrec_stage_seconds_count", {"stage": "search"}
        )

    before = searches()
    assert len(results(client, users=["u1", "u2", "u3", "nobody"])) == 4
    assert searches() == before + 1

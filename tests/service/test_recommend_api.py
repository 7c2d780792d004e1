from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.artifact import Block

ODD_IDS = ["a/b", "a//b/", "line\nbreak", "100%", "q?x=1#y", "日本", " ", "é" * 128, "\n", "a\n"]
DEAD_REDIS = "unix:///nowhere/redis.sock"


def post(client, **event):
    response = client.post("/interactions", json={"user_id": "u1", "item_id": "i0"} | event)
    assert response.status_code == 202, response.text


def test_a_known_user_gets_the_offline_ranking_without_seen_items(start, deploy, make_draft):
    draft = make_draft()
    deploy(draft)
    scores = draft.items @ draft.users[1]
    order = [f"i{row}" for row in np.argsort(-scores) if row not in (1, 2)]
    assert start().recommended("u1", k=5) == order[:5]


def test_the_answer_has_every_documented_field(start, deploy, redis_url):
    version = deploy()
    body = start(redis_url=redis_url).get("/recommend/u1?k=1").json()
    assert body.pop("took_ms") >= 0
    assert len(body.pop("recommendation_id")) == 32
    [item] = body.pop("items")
    assert body == {
        "user_id": "u1",
        "model_version": version,
        "catalog": "default",
        "next_cursor": None,
        "degraded": False,
    }
    assert (sorted(item), item["rank"], item["source"]) == (
        ["item_id", "rank", "score", "source"],
        1,
        "model",
    )


def test_metadata_comes_when_asked_for(start, deploy):
    deploy()
    [item] = start().get("/recommend/u1?k=1&metadata=true").json()["items"]
    assert item["metadata"] == {"title": f"Item {item['item_id'][1:]}"}


def test_an_answer_without_items_has_no_metadata(start, deploy):
    deploy()
    query = {"filter": 'title == "nothing is called so"', "metadata": True}
    answer = start().get("/recommend/u1", params=query)
    assert (answer.status_code, answer.json()["items"]) == (200, [])


def test_metadata_is_empty_where_the_catalog_has_none(start, deploy, make_draft):
    deploy(make_draft(item_metadata=None))
    [item] = start().get("/recommend/u1?k=1&metadata=true").json()["items"]
    assert item["metadata"] == {}


def test_seen_items_come_back_when_asked_for(start, deploy):
    deploy()
    assert len(start().recommended("u1", k=100, exclude_seen="false")) == 12
    assert len(start().recommended("u1", k=100)) == 10


def test_an_unknown_user_gets_popular_items_and_is_told_so(start, deploy, redis_url):
    deploy()
    items = start(redis_url=redis_url).get("/recommend/nobody?k=3").json()["items"]
    assert [(item["item_id"], item["source"]) for item in items] == [
        ("i0", "popular"),
        ("i1", "popular"),
        ("i2", "popular"),
    ]


def test_an_unknown_user_never_sees_an_item_again(start, deploy, redis_url):
    deploy()
    client = start(redis_url=redis_url)
    post(client, user_id="new", item_id="i0")
    assert sorted(client.recommended("new", k=12)) == sorted(f"i{row}" for row in range(1, 12))


def test_an_event_without_weight_leaves_a_new_user_with_popular_items(
    start, deploy, make_draft, redis_url
):
    deploy(make_draft(recipe={"event_types": {"view": {"sign": "positive", "weight": 0.0}}}))
    client = start(redis_url=redis_url)
    post(client, user_id="new", item_id="i0")
    assert client.recommended("new", k=2) == ["i1", "i2"]


def test_an_event_moves_a_known_user_in_learned_blocks_too(start, deploy, make_draft, redis_url):
    # The user's own direction ranks i2 first; i0 lies where i1 does, so it speaks for i1.
    items = np.array([[1, 9], [1, 10], [9, 1]], np.float32)
    deploy(
        make_draft(
            num_users=1,
            num_items=3,
            width=2,
            users=np.array([[1, 0]], np.float32),
            items=items,
            seen_indptr=np.zeros(2, np.int64),
            seen_indices=np.zeros(0, np.int32),
            recipe={"event_types": {"buy": {"weight": 9.0}, "view": {"weight": 0.1}}},
        )
    )
    client = start(redis_url=redis_url)
    first = client.recommended("u0")
    post(client, user_id="u0", item_id="i0", type="view")
    after_view = client.recommended("u0")
    post(client, user_id="u0", item_id="i0", type="buy")
    assert (first[0], after_view, client.recommended("u0")) == ("i2", ["i2", "i1"], ["i1", "i2"])


def test_events_of_a_new_user_personalise_the_next_answer(start, deploy, make_draft, redis_url):
    # One-hot factors: whoever has i3 scores only i4, whose vector is i3's factor.
    factors, items = np.eye(12, dtype=np.float32), np.roll(np.eye(12, dtype=np.float32), 1, axis=0)
    deploy(
        make_draft(
            width=12,
            blocks=[Block("ease", "factors", 0, 12, 1.0, zscore=False)],
            factors={"ease": factors},
            items=items,
            users=np.zeros((6, 12), np.float32),
        )
    )
    client = start(redis_url=redis_url)
    post(client, user_id="new", item_id="i3")
    [first] = client.get("/recommend/new?k=1").json()["items"]
    # Scores are scaled to the deviation 1; those of one hit among 12 items vary by sqrt(11) / 12.
    score = pytest.approx(12 / np.sqrt(11))
    assert (first["item_id"], first["source"], first["score"]) == ("i4", "model", score)


def test_a_posted_item_is_gone_from_the_next_answer(start, deploy, redis_url):
    deploy()
    client = start(redis_url=redis_url)
    best = client.recommended("u1", k=1)[0]
    post(client, item_id=best)
    assert best not in client.recommended("u1", k=100)


def test_a_negative_item_never_comes_even_among_seen_items(start, deploy, make_draft, redis_url):
    types = {"view": {"sign": "positive"}, "hide": {"sign": "negative"}}
    deploy(make_draft(recipe={"event_types": types}))
    client = start(redis_url=redis_url)
    post(client, item_id="i5", type="hide")
    assert "i5" not in client.recommended("u1", k=100, exclude_seen="false")


def test_a_neutral_event_changes_nothing(start, deploy, make_draft, redis_url):
    types = {"view": {"sign": "positive"}, "impression": {"sign": "neutral"}}
    deploy(make_draft(recipe={"event_types": types}))
    client = start(redis_url=redis_url)
    before = client.recommended("u1", k=100)
    post(client, item_id=before[0], type="impression")
    assert client.recommended("u1", k=100) == before


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    posted=st.sets(st.integers(0, 11)),
    row=st.integers(0, 6),
    k=st.integers(1, 15),
)
def test_no_answer_ever_has_a_seen_or_posted_item(
    start_once, posted: set[int], row: int, k: int
) -> None:
    client, count = start_once
    user = f"u{row}" if row < 6 else f"new{next(count)}"
    known = {row, row + 1} if row < 6 else set()
    events = [{"user_id": user, "item_id": f"i{item}"} for item in sorted(posted)]
    if events:
        client.post("/interactions", json=events)
        client.posted.setdefault(user, set()).update(posted)
    gone = {f"i{item}" for item in known | client.posted.get(user, set())}
    answer = client.recommended(user, k=k)
    assert not gone & set(answer)
    assert len(answer) == len(set(answer)) == min(k, 12 - len(gone))


@pytest.fixture
def start_once(start, deploy, redis_url):
    deploy()
    client = start(redis_url=redis_url)
    client.posted = {}
    return client, iter(range(10_000))


def test_a_short_model_answer_is_padded_with_popular_items(start, deploy, redis_url):
    deploy()
    answer = start(redis_url=redis_url).get("/recommend/u1?k=500").json()["items"]
    assert len(answer) == 10
    assert [item["rank"] for item in answer] == list(range(1, 11))


def test_redis_down_means_a_degraded_answer(start, deploy):
    deploy()
    response = start(redis_url=DEAD_REDIS).get("/recommend/u1?k=3")
    assert (response.status_code, response.json()["degraded"]) == (200, True)
    assert len(response.json()["items"]) == 3


def test_a_redis_that_comes_back_is_used_again(start, deploy, redis_url):
    deploy()
    client = start(redis_url=redis_url)
    client.state.store._down_until = float("inf")
    assert client.get("/recommend/u1").json()["degraded"]
    client.state.store._down_until = 0.0
    assert not client.get("/recommend/u1").json()["degraded"]


@pytest.mark.parametrize("user_id", ODD_IDS)
def test_user_ids_may_have_any_character(start, deploy, make_draft, redis_url, user_id):
    deploy(make_draft(user_ids=[user_id, *(f"u{row}" for row in range(1, 6))]))
    client = start(redis_url=redis_url)
    post(client, user_id=user_id, item_id="i9")
    body = client.get(f"/recommend/{quote(user_id, safe='')}").json()
    assert (body["user_id"], body["items"][0]["source"]) == (user_id, "model")
    assert "i9" not in {item["item_id"] for item in body["items"]}


def test_the_versioned_path_answers_too(start, deploy):
    deploy()
    assert start().get("/v1/recommend/u1").status_code == 200


def test_every_catalog_answers_with_its_own_items(start, deploy, make_draft):
    deploy()
    deploy(make_draft(item_ids=[f"f{row}" for row in range(12)]), "funds")
    assert start().recommended("u1", catalog="funds", k=1)[0].startswith("f")


@pytest.mark.parametrize(
    ("path", "status", "title", "words"),
    [
        ("/recommend/u1?k=0", 422, "Validation failed", "query.k"),
        ("/recommend/u1?k=501", 422, "Validation failed", "at most 500"),
        ("/recommend/u1?k=x", 422, "Validation failed", "query.k"),
        ("/recommend/", 422, "Validation failed", "1 to 256 bytes"),
        ("/recommend/" + "x" * 257, 422, "Validation failed", "this one 257"),
        ("/recommend/%FF", 400, "Bad request", "UTF-8"),
        ("/recommend/u1?catalog=nope", 404, "Unknown catalog", "default, funds"),
        ("/recommend/u1?catalog=funds", 200, None, ""),
    ],
)
def test_bad_requests_get_the_documented_problem(start, deploy, path, status, title, words):
    deploy()
    deploy(None, "funds")
    response = start().get(path)
    assert response.status_code == status
    assert response.json().get("title") == title
    assert words in response.text


def test_a_catalog_without_artifact_is_not_ready(start):
    response = start().get("/recommend/u1")
    assert (response.status_code, response.json()["title"]) == (503, "Not ready")
    assert response.headers["retry-after"] == "5"


def test_an_error_inside_is_a_problem_with_the_request_id(start, deploy):
    deploy()
    client = start()
    client.state.catalogs = None
    response = client.get("/recommend/u1", headers={"X-Request-Id": "abc"})
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["request_id"] == response.headers["x-request-id"] == "abc"
    assert "NoneType" not in response.text

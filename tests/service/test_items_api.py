"""Items that come, change and go between two trainings."""

import asyncio
import time

import numpy as np
import pyarrow as pa
import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mutualrec.client.call import path_of
from service.artifact import Block

# Two looks: items 0-2 look one way, items 3-5 the other; nobody ever had item 5.
LOOKS = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], np.float32)
VECTORS = np.array([[1, 0], [2, 0], [3, 0], [0, 2], [0, 4], [9, 9]], np.float32)
METADATA = pa.table(
    {
        "title": [f"Item {row}" for row in range(6)],
        "category": ["lamp", "lamp", "lamp", "rug", "rug", "rug"],
        "price": pa.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], pa.float64()),
    }
)


@pytest.fixture
def draft(make_draft):
    def draft(**changes):
        values = {
            "num_users": 2,
            "num_items": 6,
            "width": 2,
            "users": np.array([[1, 0], [0, 1]], np.float32),
            "items": VECTORS,
            "popularity": np.array([3, 2, 1, 2, 1, 0], np.float64),
            "seen_indptr": np.zeros(3, np.int64),
            "seen_indices": np.zeros(0, np.int32),
            "item_metadata": METADATA,
            "features": {"image": LOOKS},
            "category_fields": ["category"],
        }
        return make_draft(**values | changes)

    return draft


@pytest.fixture
def client(start, deploy, draft, redis_url):
    deploy(draft())
    return start(redis_url=redis_url)


def put(client, item_id: str = "new", **body):
    response = client.run(client.http.put(f"/items/{item_id}", json=body))
    assert response.status_code == 200, response.text
    return response.json()


def patch(client, item_id: str, **body):
    return client.run(client.http.patch(f"/items/{item_id}", json=body))


def delete(client, item_id: str):
    return client.run(client.http.delete(f"/items/{item_id}"))


def scores(client, user_id: str, **params) -> dict[str, float]:
    items = client.get(f"/recommend/{user_id}", params={"k": 20} | params).json()["items"]
    return {item["item_id"]: item["score"] for item in items if item["source"] == "model"}


def test_a_new_item_is_recommended_at_once_by_the_items_it_looks_like(client):
    # It looks like items 3 and 4; item 5, of no user, says nothing. Lengths 2 and 4: 3.
    answer = put(client, features={"image": [0, 7]}, metadata={"title": "New", "price": 9})
    assert (answer["recommendable"], answer["trained"]) == (True, False)
    assert answer["metadata"] == {"title": "New", "category": None, "price": 9.0}
    assert scores(client, "u1")["new"] == pytest.approx(3.0)
    assert scores(client, "u0")["new"] == pytest.approx(0.0)


def test_a_new_item_without_vector_is_placed_by_its_category(client):
    put(client, metadata={"category": "lamp"})
    assert scores(client, "u0")["new"] == pytest.approx(2.0)


def test_a_new_item_that_resembles_nothing_is_known_and_waits(client):
    assert put(client, metadata={"category": "sofa"})["recommendable"] is False
    assert "new" not in client.recommended("u0", k=20)
    assert client.get("/items/new").json()["metadata"]["category"] == "sofa"


def test_a_new_item_is_filtered_and_never_comes_twice_to_whoever_has_it(client):
    put(client, features={"image": [0, 1]}, metadata={"price": 99})
    assert client.recommended("u1", filter="price > 50") == ["new"]
    client.post("/interactions", json={"user_id": "u1", "item_id": "new"})
    assert "new" not in client.recommended("u1", k=20)


def test_an_event_with_a_new_item_moves_the_user(client):
    put(client, features={"image": [0, 1]})
    client.post("/interactions", json={"user_id": "someone", "item_id": "new"})
    of_someone = scores(client, "someone")
    assert of_someone["i4"] > of_someone["i1"]


def test_a_new_item_of_a_closed_form_member_has_factors_too(start, deploy, draft, redis_url):
    blocks = [Block("ease", "factors", 0, 2, 1.0, zscore=False)]
    deploy(draft(blocks=blocks, factors={"ease": VECTORS}))
    client = start(redis_url=redis_url)
    put(client, features={"image": [0, 1]})
    snapshot = client.state.catalogs.snapshots["default"]
    np.testing.assert_allclose(snapshot.artifact.factors["ease"][6], [0, 3])


def test_items_survive_a_restart_and_a_new_version(start, deploy, draft, redis_url):
    deploy(draft())
    put(start(redis_url=redis_url), features={"image": [0, 1]})
    deploy(draft(items=2 * VECTORS))
    again = start(redis_url=redis_url)
    again.run(again.state.follower.catch_up("default"))
    assert scores(again, "u1")["new"] == pytest.approx(6.0)
    deploy(draft(items=3 * VECTORS))
    again.state.catalogs.refresh()
    assert scores(again, "u1")["new"] == pytest.approx(9.0)


def test_another_worker_serves_a_new_item_after_its_next_look(start, client, redis_url):
    other = start(redis_url=redis_url, items_poll_interval_s=0.01)
    put(client, features={"image": [0, 1]})

    async def until_known():
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            response = await other.http.get("/items/new")
            if response.status_code == 200:
                return True
            await asyncio.sleep(0.005)  # lets the other worker's poll run
        return False

    assert other.run(until_known())


def test_a_version_that_knows_the_item_serves_what_it_learned(client):
    put(client, "i5", features={"image": [1, 0]}, metadata={"title": "Renamed"})
    assert client.get("/items/i5").json()["trained"] is True
    assert scores(client, "u0")["i5"] == pytest.approx(9.0)


def test_hidden_items_are_in_no_list_until_they_are_shown_again(client):
    assert patch(client, "i2", hidden=True).json()["recommendable"] is False
    assert "i2" not in client.recommended("u0", k=20, exclude_seen="false")
    assert "i2" not in client.recommended("u0", k=20, filter="price > 0")
    for url in ("/popular?k=20", "/similar/i0?k=20"):
        assert "i2" not in [item["item_id"] for item in client.get(url).json()["items"]]
    assert "i2" not in client.recommended("nobody", k=20)
    patch(client, "i2", hidden=False)
    assert client.recommended("u0", k=1) == ["i5"]
    assert "i2" in client.recommended("u0", k=20)


def test_changed_metadata_is_filtered_by(client):
    assert patch(client, "i0", metadata={"price": 70}).json()["metadata"] == {
        "title": "Item 0",
        "category": "lamp",
        "price": 70.0,
    }
    assert client.recommended("u0", filter="price > 50") == ["i0"]
    patch(client, "i0", metadata={"price": None})
    assert client.recommended("u0", filter="price > 50") == []


def test_patching_leaves_the_rest(client):
    put(client, features={"image": [0, 1]}, metadata={"title": "New"})
    patch(client, "new", metadata={"price": 5})
    body = client.get("/items/new").json()
    assert (body["metadata"]["title"], body["metadata"]["price"]) == ("New", 5.0)
    assert body["recommendable"] is True


def test_a_deleted_item_is_gone_until_it_is_put_again(client):
    put(client, features={"image": [0, 1]})
    for item_id in ("new", "i1"):
        assert delete(client, item_id).status_code == 204
        assert client.get(f"/items/{item_id}").status_code == 404
        assert delete(client, item_id).status_code == 404
        assert patch(client, item_id, hidden=False).status_code == 404
    assert not {"new", "i1"} & set(client.recommended("u1", k=20))
    put(client, "i1")
    assert "i1" in client.recommended("u0", k=20)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"metadata": {"colour": "red"}}, "title, category, price"),
        ({"metadata": {"price": "cheap"}}, "double"),
        ({"features": {"sound": [1.0]}}, "only of: image"),
        ({"features": {"image": [1.0]}}, "expected 2"),
        ({"features": {"image": [1e300, 0.0]}}, "finite"),
        ({"features": {"image": ["x", 0.0]}}, "number"),
        ({"hiden": True}, "hiden"),
    ],
)
def test_what_does_not_fit_the_catalog_is_refused_and_the_fix_named(client, body, names):
    response = client.run(client.http.put("/items/new", json=body))
    assert (response.status_code, names in response.json()["detail"]) == (422, True)
    assert client.get("/items/new").status_code == 404


def test_items_that_nobody_knows_are_not_found(client):
    assert client.get("/items/nothing").status_code == 404
    assert patch(client, "nothing", hidden=True).status_code == 404
    assert delete(client, "nothing").status_code == 404


def test_without_redis_items_are_read_but_not_written(start, deploy, draft):
    deploy(draft())
    client = start()
    assert client.get("/items/i0").json()["trained"] is True
    assert client.run(client.http.put("/items/new", json={})).status_code == 503


def test_of_two_changes_at_once_none_is_lost(client):
    async def both():
        await client.http.put("/items/new", json={"features": {"image": [0, 1]}})
        for _ in range(5):
            await client.http.patch("/items/new", json={"metadata": {"price": 1}})
        await asyncio.gather(
            client.http.patch("/items/new", json={"metadata": {"title": "A"}}),
            client.http.patch("/items/new", json={"metadata": {"category": "B"}}),
        )
        return (await client.http.get("/items/new")).json()["metadata"]

    assert client.run(both()) == {"title": "A", "category": "B", "price": 1.0}


def test_a_redis_that_lost_everything_takes_its_items_along(client, redis_url):
    put(client, features={"image": [0, 1]})
    with redis.Redis.from_url(redis_url) as server:
        server.flushall()
    client.run(client.state.follower.catch_up("default"))
    assert client.get("/items/new").status_code == 404


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(item_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
@example(item_id=".")
@example(item_id="..")
def test_ids_may_hold_any_character(client, item_id):
    path = path_of(item_id).removeprefix("/")
    assert put(client, path, features={"image": [0, 1]})["item_id"] == item_id
    assert item_id in client.recommended("u1", k=100)
    assert delete(client, path).status_code == 204

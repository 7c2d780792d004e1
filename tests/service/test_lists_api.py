from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pytest

from service.artifact import DailyCounts

DAY_MS = 86_400_000
FIRST = 20_000  # 2024-10-04
GENRES = ["Drama", "Comedy", "War"] * 4


def daily(*events: tuple[int, int, float]) -> DailyCounts:
    """Events as (days after the first, item row, weight)."""
    days, rows, weights = (np.array(column) for column in zip(*events, strict=True))
    return DailyCounts.of((FIRST + days) * DAY_MS, rows, weights.astype(np.float32))


@pytest.fixture
def client(start, deploy, make_draft):
    """Item 0 had 8 events 30 days ago, item 1 had 3 ten days ago, item 2 one on the last day."""
    counts = daily((0, 0, 8.0), (20, 1, 3.0), (30, 2, 1.0))
    metadata = pa.table({"genre": GENRES, "year": list(range(12)), "extra": ["Drama"] + ["x"] * 11})
    features = np.zeros((12, 3), np.float32)
    features[:4] = [[1, 0, 0], [0.8, 0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]
    deploy(
        make_draft(
            daily=counts,
            item_metadata=metadata,
            category_fields=["genre"],
            features={"image": features},
            popularity=np.array([5.0, 9.0, 7.0, *[0.0] * 9]),
        )
    )
    return start()


def listed(client, path: str, **params) -> list[tuple[str, float]]:
    response = client.get(path, params=params)
    assert response.status_code == 200, response.text
    items = response.json()["items"]
    assert [item["rank"] for item in items] == list(range(1, len(items) + 1))
    return [(item["item_id"], pytest.approx(item["score"])) for item in items]


def test_popular_counts_users_and_lists_only_what_has_any(client):
    assert listed(client, "/popular") == [("i1", 9.0), ("i2", 7.0), ("i0", 5.0)]


def test_an_interaction_counts_half_after_a_half_life(client):
    # 8 / 2^3, 3 / 2^1 and 1 / 2^0
    assert listed(client, "/popular", half_life_days=10) == [("i1", 1.5), ("i0", 1.0), ("i2", 1.0)]


def test_a_short_half_life_shows_what_is_trending(client):
    assert listed(client, "/popular", half_life_days=1, k=1) == [("i2", 1.0)]


def test_a_window_drops_what_is_older(client):
    assert listed(client, "/popular", window_days=11) == [("i1", 3.0), ("i2", 1.0)]
    assert listed(client, "/popular", window_days=10) == [("i2", 1.0)]


def test_ages_count_from_the_newest_day_of_the_data(client):
    assert client.get("/popular").json()["as_of"] == "2024-11-03"


@pytest.mark.parametrize(
    ("params", "items"),
    [
        ({"category": "Drama"}, ["i0"]),
        ({"category": "Drama", "category_field": "extra"}, ["i0"]),
        ({"category": "2", "category_field": "year"}, ["i2"]),
        ({"category": "Western"}, []),
        ({"category": "Comedy", "filter": "year > 5"}, []),
        ({"filter": "year >= 1"}, ["i1", "i2"]),
    ],
)
def test_a_category_and_a_filter_restrict_popular_items(client, params, items):
    assert [item for item, _ in listed(client, "/popular", **params)] == items


def test_a_catalog_without_times_says_what_to_leave_out(start, deploy):
    deploy()
    client = start()
    assert client.get("/popular").json()["as_of"] is None
    response = client.get("/popular?window_days=3")
    assert response.status_code == 422
    assert "leave them out" in response.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/popular?category=Drama&category_field=gerne", 422, "no field 'gerne'"),
        ("/popular?category=new&category_field=year", 422, "no number"),
        ("/popular?half_life_days=0", 422, "query.half_life_days"),
        ("/popular?half_life_days=nan", 422, "query.half_life_days"),
        ("/popular?k=501", 422, "at most 500"),
        ("/popular?filter=yeer=1", 422, "did you mean 'year'"),
        ("/similar/nope", 404, "no item 'nope'"),
        ("/similar/", 422, "item ids have 1 to 256 bytes"),
        ("/similar/i1?by=sound", 422, "this version knows: learned, image"),
    ],
)
def test_wrong_requests_get_a_problem_that_names_the_fix(client, path, status, words):
    response = client.get(path)
    assert response.status_code == status
    assert words in response.json()["detail"]


def test_similar_items_by_a_modality_are_ranked_by_cosine(client):
    assert listed(client, "/similar/i0", by="image") == [("i1", 0.8), ("i2", 0.6), ("i3", 0.0)]


def test_an_item_without_a_vector_has_no_similar_ones(client):
    assert listed(client, "/similar/i7", by="image") == []


def test_similar_items_by_the_models_are_ranked_by_cosine(start, deploy, make_draft):
    draft = make_draft()
    deploy(draft)
    unit = draft.items / np.linalg.norm(draft.items, axis=1, keepdims=True)
    cosines = unit @ unit[3]
    order = [row for row in np.argsort(-cosines).tolist() if row != 3]
    expected = [(f"i{row}", pytest.approx(cosines[row], abs=1e-5)) for row in order]
    body = start().get("/similar/i3?k=11").json()
    assert [(item["item_id"], item["score"]) for item in body["items"]] == expected


def test_a_filter_and_metadata_work_on_similar_items(client):
    items = client.get("/similar/i0?by=image&filter=year=2&metadata=true").json()["items"]
    assert [item["metadata"]["genre"] for item in items] == ["War"]


@pytest.mark.parametrize("item_id", ["a/b", "日本", "100%", "line\nbreak"])
def test_item_ids_may_have_any_character(start, deploy, make_draft, item_id):
    deploy(make_draft(item_ids=[item_id, *(f"i{row}" for row in range(1, 12))]))
    body = start().get(f"/v1/similar/{quote(item_id, safe='')}?k=1").json()
    assert body["item_id"] == item_id

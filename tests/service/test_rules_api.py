import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

METADATA = pa.table(
    {
        "genre": ["Drama", "Comedy", "War"] * 4,
        "year": list(range(1990, 2002)),
    }
)


@pytest.fixture
def client(start, deploy, make_draft, redis_url):
    deploy(make_draft(item_metadata=METADATA))
    return start(redis_url=redis_url)


def test_a_filter_restricts_known_and_unknown_users(client):
    for user in ("u1", "nobody"):
        items = client.get(
            f"/recommend/{user}",
            params={"filter": 'genre = "War" and year > 1992', "metadata": "true"},
        ).json()["items"]
        assert {item["metadata"]["genre"] for item in items} == {"War"}
        assert sorted(item["item_id"] for item in items) == ["i11", "i5", "i8"]


def test_a_filter_keeps_the_order_of_the_model(start, deploy, make_draft):
    draft = make_draft(item_metadata=METADATA)
    deploy(draft)
    scores = draft.items @ draft.users[1]
    order = [f"i{row}" for row in np.argsort(-scores) if row not in (1, 2) and row >= 6]
    assert start().recommended("u1", filter="year >= 1996") == order


def test_a_filter_that_nothing_passes_gives_an_empty_answer(client):
    assert client.recommended("u1", filter="year > 3000") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yeer > 1990", "filter, character 1: there is no field 'yeer'; did you mean 'year'?"),
        ("year >", "filter, character 7: found the end"),
        ("", "filter, character 1"),
    ],
)
def test_a_wrong_filter_is_a_problem_that_names_place_and_fix(client, text, words):
    response = client.get("/recommend/u1", params={"filter": text})
    assert (response.status_code, response.json()["title"]) == (422, "Validation failed")
    assert words in response.json()["detail"]
    assert response.json()["errors"][0]["location"] == "filter"


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    posted=st.sets(st.integers(0, 11), max_size=3),
    row=st.integers(0, 6),
    k=st.integers(1, 12),
    genre=st.sampled_from(["Drama", "Comedy", "War", "Western"]),
    year=st.integers(1988, 2003),
)
def test_filters_and_seen_items_hold_together(client, posted, row, k, genre, year):
    events = [{"user_id": f"u{row}", "item_id": f"i{item}"} for item in posted]
    if events:
        client.post("/interactions", json=events)
    answer = client.recommended(f"u{row}", k=k, filter=f'genre != "{genre}" or year < {year}')
    genres, years = METADATA["genre"].to_pylist(), METADATA["year"].to_pylist()
    rows = [int(item[1:]) for item in answer]
    assert all(genres[item] != genre or years[item] < year for item in rows)
    assert not posted & set(rows)
    assert len(set(rows)) == len(rows) <= k

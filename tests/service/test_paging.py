import asyncio
import itertools

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.cursor import MAX_LENGTH, MAX_SHOWN, Cursor, decode_cursor
from service.errors import InvalidParameter

REQUEST = b"12345678"


def pages(client, size: int, **params) -> list[dict]:
    found, cursor = [], ""
    while cursor is not None:
        response = client.get("/recommend/u1", params={"k": size, "cursor": cursor} | params)
        assert response.status_code == 200, response.text
        found.append(response.json())
        cursor = found[-1]["next_cursor"]
    return found


def items_of(*answers: dict) -> list[str]:
    return [item["item_id"] for answer in answers for item in answer["items"]]


@pytest.mark.parametrize("size", [1, 3, 4, 10])
@pytest.mark.parametrize("params", [{}, {"filter": "year < 8"}], ids=["plain", "filtered"])
def test_pages_together_are_the_whole_list(start, deploy, make_draft, redis_url, size, params):
    deploy(make_draft(item_metadata=pa.table({"year": list(range(12))})))
    client = start(redis_url=redis_url)
    found = pages(client, size, **params)
    assert items_of(*found) == client.recommended("u1", k=100, **params)
    ranks = [item["rank"] for answer in found for item in answer["items"]]
    assert ranks == list(range(1, len(ranks) + 1))
    assert len({answer["recommendation_id"] for answer in found}) == 1


def test_without_a_cursor_there_is_no_next_page(start, deploy):
    deploy()
    assert start().get("/recommend/u1?k=1").json()["next_cursor"] is None


def test_no_item_comes_twice_when_the_version_is_swapped_between_two_pages(
    start, deploy, make_draft, redis_url
):
    deploy()
    client = start(redis_url=redis_url)
    first = client.get("/recommend/u1?k=4&cursor=").json()
    # The new version has other vectors, and the same items in another order, with one more.
    names = [f"i{row}" for row in reversed(range(13))]
    deploy(make_draft(num_items=13, seed=9, item_ids=names))
    client.run(asyncio.to_thread(client.state.catalogs.refresh))
    second = client.get("/recommend/u1", params={"k": 100, "cursor": first["next_cursor"]}).json()
    assert first["model_version"] != second["model_version"]
    assert not set(items_of(first)) & set(items_of(second))
    seen = {names[1], names[2]}
    assert set(items_of(first, second)) | seen >= set(names)
    assert first["recommendation_id"] == second["recommendation_id"]
    assert second["items"][0]["rank"] == 5


def test_what_is_posted_between_two_pages_does_not_come(start, deploy, redis_url):
    deploy()
    client = start(redis_url=redis_url)
    first = client.get("/recommend/u1?k=2&cursor=").json()
    following = client.recommended("u1", k=3)[2]
    client.post("/interactions", json={"user_id": "u1", "item_id": following})
    second = client.get("/recommend/u1", params={"k": 100, "cursor": first["next_cursor"]}).json()
    assert following not in items_of(second)
    assert not set(items_of(first)) & set(items_of(second))


def test_a_page_of_diverse_and_capped_items_repeats_nothing(start, deploy, make_draft):
    deploy(make_draft(item_metadata=pa.table({"genre": ["a", "b"] * 6})))
    client, cursor, shown = start(), "", []
    for _ in range(3):
        body = {"users": ["u1"], "k": 2, "cursor": cursor, "diversity": 0.5}
        body["caps"] = [{"field": "genre", "limit": 1}]
        [answer] = client.post("/recommend", json=body).json()["results"]
        # A cap holds for each page.
        assert {int(item[1:]) % 2 for item in items_of(answer)} == {0, 1}
        shown += items_of(answer)
        cursor = answer["next_cursor"]
    assert len(set(shown)) == 6


def test_get_and_post_continue_each_other(start, deploy):
    deploy()
    client = start()
    cursor = client.get("/recommend/u1?k=3&cursor=").json()["next_cursor"]
    body = {"users": ["u1"], "k": 3, "cursor": cursor}
    [second] = client.post("/recommend", json=body).json()["results"]
    assert items_of(second) == client.recommended("u1", k=6)[3:]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/recommend/u2?cursor={}", "another request"),
        ("/recommend/u1?exclude_seen=false&cursor={}", "another request"),
        ("/recommend/u1?diversity=0.5&cursor={}", "another request"),
        ("/recommend/u1?cursor=A{}", "no cursor of ours"),
        ("/recommend/u1?cursor=nonsense", "no cursor of ours"),
        ("/recommend/u1?cursor=" + "A" * (MAX_LENGTH + 1), "8192"),
    ],
)
def test_a_wrong_cursor_is_a_problem_that_names_the_fix(start, deploy, path, words):
    deploy()
    client = start()
    cursor = client.get("/recommend/u1?k=3&cursor=").json()["next_cursor"]
    response = client.get(path.format(cursor))
    assert response.status_code == 422
    assert words in response.json()["detail"]


def test_a_cursor_of_the_longest_list_fits_where_it_is_accepted():
    longest = Cursor("0" * 32, REQUEST).after(str(number) for number in range(MAX_SHOWN))
    assert len(longest.encode()) <= MAX_LENGTH


def test_a_list_ends_at_its_greatest_length(start, deploy, monkeypatch):
    monkeypatch.setattr("service.answers.MAX_SHOWN", 5)
    deploy()
    assert [len(items_of(page)) for page in pages(start(), 3)] == [3, 2]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(min_size=1), max_size=20))
def test_a_cursor_is_read_back_as_it_was_written(item_ids: list[str]):
    cursor = Cursor("ab" * 16, REQUEST).after(item_ids)
    assert decode_cursor(cursor.encode(), REQUEST) == cursor


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60).map(bytes.hex))
def test_any_text_is_a_cursor_or_an_explained_error(text: str):
    try:
        decode_cursor(text, REQUEST)
    except InvalidParameter as error:
        refused = error.detail
        assert "cursor" in refused


def test_pages_of_popular_items_repeat_nothing_either(start, deploy):
    deploy()
    client, cursor, shown = start(), "", []
    for size in itertools.repeat(5, 2):
        page = client.get("/recommend/nobody", params={"k": size, "cursor": cursor}).json()
        shown += items_of(page)
        cursor = page["next_cursor"]
    assert shown == [f"i{row}" for row in range(10)]

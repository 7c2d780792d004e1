"""What nobody may ever see, whatever goes on: what they posted, and what a filter forbids."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.artifact import load_artifact, set_current
from service.recommend import UserView, recommend
from service.rules import candidates
from service.settings import Settings
from service.snapshot import Snapshot, build_snapshot
from service.user_vector import UserVector

pytestmark = pytest.mark.any_server

NUM_ITEMS = 60
GENRES = ["Drama", "Comedy", "War"]
METADATA = pa.table(
    {
        "genre": [GENRES[row % 3] for row in range(NUM_ITEMS)],
        "year": [None if row % 11 == 5 else 1990 + row % 17 for row in range(NUM_ITEMS)],
    }
)
# They come while the service runs: after the training, before any test.
NEW = {
    f"new-{number}": {"genre": GENRES[number % 3], "year": 1992 + 3 * number} for number in range(5)
}
NAMES = [*(f"i{row}" for row in range(NUM_ITEMS)), *NEW]
SIZES = {"num_users": 20, "num_items": NUM_ITEMS, "width": 8}

_numbers = itertools.count()


@pytest.fixture(scope="module", params=["cpu", "ivf"])
def world(request, tmp_path_factory, make_draft, publish, client_type, valkey_url) -> Iterator[Any]:
    """A service with two versions of other vectors, one of which knows half of the items only.

    With the inverted lists, filters are answered by searching, as they are in a large catalogue.
    """
    with redis.Redis.from_url(valkey_url) as server:
        server.flushall()
    home = tmp_path_factory.mktemp("promises")
    root = home / "artifacts"
    half = NUM_ITEMS // 2
    given = {**SIZES, "category_fields": ["genre"]}
    small = make_draft(**{**given, "num_items": half}, seed=1, item_metadata=METADATA[:half])
    drafts = [make_draft(**given, item_metadata=METADATA), small]
    versions = [publish(root, draft=draft) for draft in drafts]
    set_current(root, "default", versions[0])
    options = {"home": home, "index": request.param, "redis_url": valkey_url}
    # A machine with other things to do must not make answers degraded: those are tested elsewhere.
    options |= {"redis_timeout_s": 10.0}
    with (
        pytest.MonkeyPatch.context() as patch,
        client_type(Settings.load({}, **options)) as client,
    ):
        if request.param == "ivf":
            patch.setattr(candidates, "_SCANNED_ITEMS", 0)
            patch.setattr(candidates, "_SCANNED_SHARE", 0.0)
            patch.setattr(candidates, "_FETCHED_SHARE", 1.0)
        client.versions = versions
        client.root = root
        for name, metadata in NEW.items():
            put = client.http.put(f"/items/{name}", json={"metadata": metadata})
            assert client.run(put).json()["recommendable"]
        yield client


@st.composite
def lives(draw: st.DrawFn) -> list[list[tuple[str, int]]]:
    """What some people do one after the other, at the same time as each other."""
    step = st.one_of(
        st.tuples(st.just("post"), st.integers(0, NUM_ITEMS - 1)),
        st.tuples(st.just("post"), st.integers(NUM_ITEMS, len(NAMES) - 1)),
        st.tuples(st.just("like"), st.integers(0, 9)),
        st.tuples(st.just("page"), st.sampled_from([1, 5, 20])),
        st.tuples(st.just("ask"), st.sampled_from([1, 5, NUM_ITEMS])),
        st.tuples(st.just("ask many"), st.sampled_from([1, 5, NUM_ITEMS])),
    )
    return draw(st.lists(st.lists(step, min_size=2, max_size=8), min_size=1, max_size=6))


SLOW = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@SLOW
@given(people=lives(), swaps=st.integers(0, 3))
def test_a_posted_item_is_never_recommended_again_to_that_user(world, people, swaps) -> None:
    async def live(user: str, steps: list[tuple[str, int]]) -> None:
        posted: set[str] = set()
        shown: set[str] = set()
        cursor = None
        for what, number in steps:
            if what in ("post", "like"):
                item = NAMES[number]
                if what == "like":
                    # What is about to come, on this list or its next page.
                    best = (await world.http.get(f"/recommend/{user}", params={"k": 10})).json()
                    item = best["items"][number % len(best["items"])]["item_id"]
                event = {"user_id": user, "item_id": item}
                assert (await world.http.post("/interactions", json=event)).status_code == 202
                posted.add(event["item_id"])
                continue
            if what == "page":
                shown = set() if cursor is None else shown
                params = {"k": number, "cursor": cursor or ""}
                response = await world.http.get(f"/recommend/{user}", params=params)
                answers = [response.json()]
                cursor = answers[0]["next_cursor"]
                page = {item["item_id"] for item in answers[0]["items"]}
                # Nor does a list that goes on, over a swap, repeat what its other pages had.
                assert shown.isdisjoint(page)
                shown |= page
            elif what == "ask":
                response = await world.http.get(f"/recommend/{user}", params={"k": number})
                answers = [response.json()]
            else:
                body = {"users": [user, "u1"], "k": number}
                response = await world.http.post("/recommend", json=body)
                answers = response.json()["results"][:1]
            assert response.status_code == 200
            for answer in answers:
                assert not answer["degraded"]
                assert posted.isdisjoint(item["item_id"] for item in answer["items"])

    async def swap() -> None:
        for number in range(swaps):
            version = world.versions[number % 2]
            await asyncio.to_thread(set_current, world.root, "default", version)
            await asyncio.to_thread(world.state.catalogs.refresh)

    async def all_at_once() -> None:
        # Half of the people are known to the versions, with items that they have.
        names = [f"u{n}" if n % 2 else f"new {next(_numbers)}" for n in range(len(people))]
        await asyncio.gather(*(live(n, s) for n, s in zip(names, people, strict=True)), swap())

    world.run(all_at_once())


@SLOW
@given(
    asked=st.lists(
        st.tuples(
            st.integers(0, 25),
            st.sampled_from(GENRES),
            st.integers(1985, 2010),
            st.integers(0, 12),
            st.sampled_from([1, 7, len(NAMES)]),
            st.booleans(),
        ),
        min_size=1,
        max_size=8,
    ),
    swaps=st.integers(0, 2),
)
def test_a_filter_is_never_violated(world, asked, swaps) -> None:
    async def ask(user: int, genre: str, year: int, size: int, k: int, is_range: bool) -> None:
        years = f"year in {year}..{year + size}"
        if not is_range:
            years = f"year >= {year} and year <= {year + size}"
        rule = f'genre = "{genre}" and {years}'
        params = {"filter": rule, "k": k, "metadata": True, "exclude_seen": False}
        response = await world.http.get(f"/recommend/u{user}", params=params)
        assert response.status_code == 200, response.text
        answer = response.json()
        known = NUM_ITEMS if answer["model_version"] == world.versions[0] else NUM_ITEMS // 2
        items = {f"i{row}": item for row, item in enumerate(METADATA.to_pylist()[:known])} | NEW
        passing = [
            name
            for name, item in items.items()
            if item["genre"] == genre
            and item["year"] is not None
            and year <= item["year"] <= year + size
        ]
        found = [item["item_id"] for item in answer["items"]]
        assert set(found) <= set(passing)
        # Nothing is left out either, whatever the index: few allowed items are scored one by one.
        assert len(found) == min(k, len(passing))

    async def swap() -> None:
        for number in range(swaps):
            version = world.versions[number % 2]
            await asyncio.to_thread(set_current, world.root, "default", version)
            await asyncio.to_thread(world.state.catalogs.refresh)

    async def all_at_once() -> None:
        await asyncio.gather(*(ask(*one) for one in asked), swap())

    world.run(all_at_once())


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory, make_draft, publish) -> Snapshot:
    root = tmp_path_factory.mktemp("plain")
    return build_snapshot(
        load_artifact(root, "default", publish(root, draft=make_draft(**SIZES))), "cpu"
    )


@given(
    excluded=st.frozensets(st.integers(0, NUM_ITEMS - 1)),
    k=st.integers(1, 2 * NUM_ITEMS),
    seed=st.none() | st.integers(0, 99),
)
def test_excluded_items_never_come_and_the_rest_is_exact(snapshot, excluded, k, seed) -> None:
    query = None
    scores = snapshot.artifact.popularity
    if seed is not None:
        query = np.random.default_rng(seed).normal(size=8).astype(np.float32)
        scores = snapshot.artifact.items @ query
    answer = recommend(snapshot, UserView(UserVector(query), (), (), excluded), k)
    order = [row for row in np.argsort(-scores, kind="stable").tolist() if row not in excluded]
    assert [item.item_row for item in answer] == order[:k]

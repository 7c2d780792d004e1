"""The users' vectors that the gate asks for are those that the service would make, one by one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import Judging, until

from mutualrec.as_served import AsServed
from service.artifact import Artifact
from service.recommend import view_user
from service.snapshot import Snapshot, build_snapshot
from service.store.client import HistoryItem
from training.data.dataset import Dataset, EventType
from training.data.pairs import Pairs
from training.gate.serving import events_of

DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000
TYPES = {
    "view": EventType(0.5),
    "buy": EventType(2.0, half_life_days=30.0),
    "click": EventType(1.0, half_life_days=3.0),
    "gone": EventType(0.0),
    "hide": EventType(1.0, sign="negative"),
}


@pytest.fixture(scope="module")
def dataset(demo_dataset: Dataset) -> Dataset:
    """The demo's users and items with events of several types."""
    return replace(demo_dataset, event_types={**demo_dataset.event_types, **TYPES})


@pytest.fixture(scope="module")
def version(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A version that knows neither the newest users nor the newest items."""
    return Judging(dataset, tmp_path_factory.mktemp("judging")).champion(0.2)


@pytest.fixture(scope="module")
def snapshot(version: Artifact) -> Snapshot:
    return build_snapshot(version, "cpu")


@pytest.fixture(scope="module")
def served(version: Artifact) -> AsServed:
    return AsServed(version)


def one_by_one(snapshot: Snapshot, dataset: Dataset, user_rows, pairs: Pairs):
    """What `AsServed.queries` and `events_of` do, as simply as it can be said."""
    events = dataset.interactions
    wanted = set(zip(pairs.user_rows.tolist(), pairs.item_rows.tolist(), strict=True))
    vectors = np.zeros((len(user_rows), snapshot.artifact.users.shape[1]), np.float32)
    now_ms = int(events.timestamps.max()) if len(events.timestamps) else 0
    for place, user_row in enumerate(user_rows.tolist()):
        found: dict[str, dict[str, int]] = {}
        for event in np.flatnonzero(events.user_rows == user_row).tolist():
            item_row, name = int(events.item_rows[event]), str(events.types[event])
            is_positive = dataset.event_types[name].sign == "positive"
            if is_positive and (user_row, item_row) in wanted:
                types = found.setdefault(dataset.items.ids_tuple[item_row], {})
                at = int(events.timestamps[event]) or now_ms
                types[name] = max(at, types.get(name, at))
        history = [HistoryItem(item, True, max(of.values()), of) for item, of in found.items()]
        user_id = dataset.users.ids_tuple[user_row]
        view = view_user(snapshot, user_id, history, exclude_seen=False, now_ms=now_ms)
        if view.query is not None:
            vectors[place] = view.query
    return vectors


USERS, ITEMS = st.integers(0, 11), st.integers(0, 15)
EVENTS = st.lists(
    st.tuples(
        *(USERS, ITEMS, st.sampled_from(sorted(TYPES))),
        st.just(0) | st.integers(0, 90 * DAY_MS).map(lambda age_ms: NOW_MS - age_ms),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=200)
@given(
    events=EVENTS,
    others=st.sets(st.tuples(USERS, ITEMS), max_size=20),
    asked=st.permutations(range(12)),
    count=st.integers(0, 12),
)
def test_users_are_moved_all_at_once_as_they_are_one_by_one(
    served, snapshot, dataset, events, others, asked, count
):
    known = list(zip(*events, strict=True)) or [(), (), (), ()]
    interactions = replace(
        dataset.interactions,
        user_rows=np.array(known[0], np.int64),
        item_rows=np.array(known[1], np.int64),
        types=np.array(known[2], dataset.interactions.types.dtype),
        timestamps=np.array(known[3], np.int64),
        values=np.ones(len(events)),
        labels=None,
    )
    told = replace(dataset, interactions=interactions)
    # Of some pairs that happened nothing is asked, and some that are asked for never happened.
    chosen = sorted(others | {event[:2] for event in events[::2]})
    pairs = Pairs(*np.array(chosen, np.int64).reshape(-1, 2).T)
    user_rows = np.array(asked[:count], np.int64)
    expected = one_by_one(snapshot, told, user_rows, pairs)
    found = served.queries(events_of(told, user_rows, pairs))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert np.array_equal(found.any(axis=1), expected.any(axis=1))


def test_of_everything_that_happened_since_users_are_moved_as_one_by_one(served, snapshot, dataset):
    newer = until(dataset, 0.6)
    pairs = Pairs.of(newer.interactions.user_rows, newer.interactions.item_rows)
    user_rows = np.arange(dataset.num_users)
    expected = one_by_one(snapshot, newer, user_rows, pairs)
    found = served.queries(events_of(newer, user_rows, pairs))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert not np.allclose(found, 0)

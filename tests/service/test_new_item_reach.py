"""New items come in lists as often as they should, whatever the models' vectors are like."""

import numpy as np
import pytest

from service.artifact import load_artifact
from service.items.content import ContentGraph
from service.items.reach import REACH

NUM_USERS, NUM_ITEMS, GROUPS, WIDTH = 200, 400, 10, 16


@pytest.fixture
def version(tmp_path, make_draft, publish):
    """Items of a group look alike; users also like what is in the vectors and not in the looks."""

    def make(spread=1.0, num_items=NUM_ITEMS):
        rng = np.random.default_rng(0)
        groups = np.arange(num_items) % GROUPS
        centres = rng.normal(size=(GROUPS, WIDTH))
        items = centres[groups] + spread * rng.normal(size=(num_items, WIDTH))
        liked = items[rng.integers(num_items, size=NUM_USERS)]
        users = liked + 0.3 * rng.normal(size=(NUM_USERS, WIDTH))
        looks = np.eye(GROUPS)[groups] + 0.05 * rng.normal(size=(num_items, GROUPS))
        looks /= np.linalg.norm(looks, axis=1, keepdims=True)
        draft = make_draft(
            num_users=NUM_USERS,
            num_items=num_items,
            width=WIDTH,
            users=users.astype(np.float32),
            items=items.astype(np.float32),
            features={"image": looks.astype(np.float32)},
        )
        return load_artifact(tmp_path, "default", publish(tmp_path, draft=draft))

    return make


def share_of_lists(artifact, placed):
    """The share of users among whose 20 best trained items each vector would be."""
    scores = artifact.users @ artifact.items.T
    bars = np.partition(scores, -20, axis=1)[:, -20]
    return float((artifact.users @ placed.T >= bars[:, None]).mean())


@pytest.mark.parametrize("spread", [1.0, 2.0, 3.0])
def test_new_items_come_in_as_many_lists_as_intended(version, spread):
    artifact = version(spread=spread)
    graph = ContentGraph(artifact)
    rng = np.random.default_rng(1)
    looks = np.eye(GROUPS) + 0.05 * rng.normal(size=(GROUPS, GROUPS))
    placed = np.stack([graph.place({"image": x.astype(np.float32)}, {}).vector for x in looks])
    of_trained = share_of_lists(artifact, artifact.items)
    assert share_of_lists(artifact, placed) == pytest.approx(REACH * of_trained, rel=0.4)


def test_the_less_looks_tell_the_longer_new_vectors_are(version):
    assert ContentGraph(version(spread=1.5)).scale > ContentGraph(version(spread=0.2)).scale


def test_a_version_too_small_to_measure_keeps_the_length_of_the_neighbours(version):
    assert ContentGraph(version(num_items=100)).scale == 1.0

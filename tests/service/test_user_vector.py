import numpy as np
import pytest

from service.artifact import Block, load_artifact, write_artifact
from service.user_vector import Moved, Pending, UserVector, fold_in_of, make_vectors, user_vectors

# Two blocks of two columns. Their covariances are diag(4, 1) and the identity, so that the scores
# of [a, b] have the deviation sqrt(4 a^2 + b^2) in the first and sqrt(a^2 + b^2) in the second.
ITEMS = np.array([[1, 0, 0, 0], [0, 2, 0, 0], [3, 3, 0, 0]], np.float32)
FACTORS = np.array([[1, 0], [0, 2], [3, 3]], np.float32)
COVARIANCES = {"bpr": np.diag([4, 1]).astype(np.float32), "ease": np.eye(2, dtype=np.float32)}
BLOCKS = [
    Block("bpr", "learned", 0, 2, 1.0, zscore=True),
    Block("ease", "factors", 2, 2, 0.5, zscore=True),
]
# In the first block of deviation 1, in the second of deviation 0.5.
USERS = np.array([[0.5, 0, 0.3, 0.4], [0, 1, 0.5, 0]], np.float32)


@pytest.fixture
def make(tmp_path, make_draft):
    def make(**changes):
        values = {
            "blocks": BLOCKS,
            "users": USERS,
            "items": ITEMS,
            "user_ids": [f"u{row}" for row in range(len(changes.get("users", USERS)))],
            "item_ids": ["i0", "i1", "i2"],
            "popularity": np.ones(3),
            "seen_indptr": np.zeros(len(changes.get("users", USERS)) + 1, np.int64),
            "seen_indices": np.zeros(0, np.int32),
            "item_metadata": None,
            "covariances": COVARIANCES,
            "factors": {"ease": FACTORS},
        }
        version = write_artifact(tmp_path, "default", make_draft(**values | changes))
        return load_artifact(tmp_path, "default", version)

    return make


def vector(artifact, user_row, *rows: int, weights: list[float] | None = None):
    user = Moved(user_row, rows, weights or [1.0] * len(rows))
    [made] = user_vectors(artifact, fold_in_of(artifact), [user])
    return made


def deviation(part: np.ndarray, name: str) -> float:
    return float(np.sqrt(part @ COVARIANCES[name] @ part))


def test_a_known_user_without_fresh_items_has_exactly_the_stored_row(make):
    np.testing.assert_array_equal(vector(make(), 0), USERS[0])


def test_one_event_moves_every_block_by_a_quarter_of_the_way(make):
    # Item 1 says [0, 1] of deviation 1 in the first block and [0, 0.5] of 0.5 in the second:
    # 3 [0.5, 0] + [0, 1] = [1.5, 1] has the deviation sqrt(9 + 1), and
    # 3 [0.3, 0.4] + [0, 0.5] = [0.9, 1.7] has sqrt(3.7).
    first = np.array([1.5, 1.0]) / np.sqrt(10)
    second = 0.5 * np.array([0.9, 1.7]) / np.sqrt(3.7)
    np.testing.assert_allclose(vector(make(), 0, 1), [*first, *second], rtol=1e-6)


def test_heavier_events_move_further(make):
    # 3 [0.5, 0] + 2 [0, 1] = [1.5, 2] has the deviation sqrt(9 + 4).
    expected = np.array([1.5, 2.0]) / np.sqrt(13)
    np.testing.assert_allclose(vector(make(), 0, 1, weights=[2.0])[:2], expected, rtol=1e-6)


def test_items_count_by_their_weights(make):
    # 0.75 item 0 + 0.25 item 1 = [0.75, 0.5] in both blocks, of deviation sqrt(2.5) in the first.
    expected = 3 * USERS[0, :2] + np.array([0.75, 0.5]) / np.sqrt(2.5)
    moved = vector(make(), 0, 0, 1, weights=[0.75, 0.25])[:2]
    np.testing.assert_allclose(moved, expected / deviation(expected, "bpr"), rtol=1e-6)


def test_a_moved_vector_keeps_the_scale_of_publishing(make):
    moved = vector(make(), 1, 0, 2)
    assert deviation(moved[:2], "bpr") == pytest.approx(1.0)
    assert deviation(moved[2:], "ease") == pytest.approx(0.5)


def test_a_new_user_starts_as_the_mean_user(make):
    # The mean user [0.25, 0.5] has the deviation sqrt(0.5) in the first block; as a user has: 1.
    expected = 3 * np.array([0.25, 0.5]) / np.sqrt(0.5) + [0.0, 1.0]
    moved = vector(make(), None, 1)[:2]
    np.testing.assert_allclose(moved, expected / deviation(expected, "bpr"), rtol=1e-6)


def test_a_user_whose_row_is_zero_is_as_good_as_new(make):
    artifact = make(users=np.array([[0, 0, 0, 0], [0.5, 0, 0.3, 0.4]], np.float32))
    np.testing.assert_allclose(vector(artifact, 0, 1), vector(artifact, None, 1))


def test_a_version_without_users_serves_new_ones(make):
    artifact = make(users=np.zeros((0, 4), np.float32))
    np.testing.assert_allclose(vector(artifact, None, 1), [0, 1, 0, 0.5])


def test_without_z_score_a_new_user_is_as_strong_as_a_trained_one(make):
    blocks = [Block("average", "learned", 0, 4, 1.0, zscore=False)]
    users = np.array([[0, 3, 0, 0], [0, 4, 0, 0]], np.float32)
    artifact = make(
        blocks=blocks, users=users, covariances={"average": np.eye(4, dtype=np.float32)}, factors={}
    )
    assert np.linalg.norm(vector(artifact, None, 0)) == pytest.approx(np.sqrt(12.5))


def test_a_covariance_that_was_not_published_is_computed(make):
    # The first block's items have the mean [4/3, 5/3] and the second moments 10/3, 13/3 and 3.
    covariances = {"ease": COVARIANCES["ease"]}
    computed = fold_in_of(make(covariances=covariances)).blocks["bpr"].covariance
    np.testing.assert_allclose(computed, [[14 / 9, 7 / 9], [7 / 9, 14 / 9]], rtol=1e-6)


def test_items_that_say_nothing_leave_the_vector_as_it_was(make):
    items = np.zeros((3, 4), np.float32)
    factors = {"ease": np.zeros((3, 2), np.float32)}
    np.testing.assert_allclose(vector(make(items=items, factors=factors), 0, 1), USERS[0])


def test_a_new_user_without_items_has_no_vector(make):
    assert vector(make(), None) is None


def test_a_known_user_whose_row_is_zero_has_no_vector_without_items(make):
    assert vector(make(users=np.zeros((1, 4), np.float32)), 0) is None


def test_users_get_the_same_vectors_together_as_alone(make):
    artifact = make(users=np.array([[0.5, 0, 0.3, 0.4], [0, 0, 0, 0], [0, 0, 0.5, 0]], np.float32))
    fold_in = fold_in_of(artifact)
    users = [
        Moved(user_row, rows, weights)
        for user_row in (None, 0, 1, 2)
        for rows, weights in (([], []), ([1], [2.0]), ([0, 2, 1], [0.25, 1.0, 3.0]))
    ]
    # Nothing is known of the new user and of the one whose row is zero, who did nothing.
    unknown = [number in (0, 6) for number in range(len(users))]
    users, unknown = 10 * users, 10 * unknown  # more than are moved at once
    together = user_vectors(artifact, fold_in, users)
    alone = [user_vectors(artifact, fold_in, [user])[0] for user in users]
    assert [vector is None for vector in together] == unknown
    assert [vector is None for vector in alone] == [vector is None for vector in together]
    known = [n for n, vector in enumerate(together) if vector is not None]
    np.testing.assert_allclose(
        [together[n] for n in known], [alone[n] for n in known], rtol=1e-5, atol=1e-7
    )


def test_vectors_that_are_asked_for_together_are_made_once(make):
    artifact = make()
    pending = Pending(artifact, fold_in_of(artifact), Moved(0, [1], [1.0]))
    one, other, ready = UserVector(None, pending), UserVector(None, pending), UserVector(USERS[1])
    first, second, third = make_vectors([one, other, ready])
    np.testing.assert_array_equal(first, second)
    assert third is ready.value
    assert one.value is first

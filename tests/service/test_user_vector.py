import numpy as np
import pytest

from service.artifact import Block, load_artifact, write_artifact
from service.user_vector import user_vector

# Two factor columns: items 0..2 are [1, 0], [0, 2], [3, 3]; the covariance is diag(4, 1).
FACTORS = np.array([[1, 0], [0, 2], [3, 3]], np.float32)
COVARIANCE = np.diag([4, 1]).astype(np.float32)
USERS = np.array([[7, 0.5, 0]], np.float32)  # a learned column, then the block's two


@pytest.fixture
def make(tmp_path, make_draft):
    def make(**changes):
        values = {
            "blocks": [
                Block("bpr", "learned", 0, 1, 1.0, zscore=True),
                Block("ease", "factors", 1, 2, 0.5, zscore=True),
            ],
            "users": USERS,
            "items": np.ones((3, 3), np.float32),
            "user_ids": ["u"],
            "item_ids": ["i0", "i1", "i2"],
            "popularity": np.ones(3),
            "seen_indptr": np.array([0, 1]),
            "seen_indices": np.array([0], np.int32),
            "item_metadata": None,
            "covariances": {"ease": COVARIANCE},
            "factors": {"ease": FACTORS},
        }
        version = write_artifact(tmp_path, "default", make_draft(**values | changes))
        return load_artifact(tmp_path, "default", version)

    return make


def rows(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_a_known_user_without_fresh_items_has_exactly_the_stored_row(make):
    np.testing.assert_array_equal(user_vector(make(), 0, rows()), USERS[0])


def test_fresh_items_move_factor_blocks_and_leave_learned_ones(make):
    # raw = [1, 0] (seen) + [0, 2] (fresh) = [1, 2]; raw' C raw = 4 + 4 = 8; 0.5 / sqrt(8) * raw.
    expected = [7, 0.5 / np.sqrt(8), 1.0 / np.sqrt(8)]
    np.testing.assert_allclose(user_vector(make(), 0, rows(1)), expected, rtol=1e-6)


def test_a_new_user_has_factor_blocks_only(make):
    # raw = [3, 3]; raw' C raw = 36 + 9 = 45.
    expected = [0, 1.5 / np.sqrt(45), 1.5 / np.sqrt(45)]
    np.testing.assert_allclose(user_vector(make(), None, rows(2)), expected, rtol=1e-6)


def test_without_z_score_the_sum_is_weighted_only(make):
    blocks = [
        Block("bpr", "learned", 0, 1, 1.0, zscore=True),
        Block("ease", "factors", 1, 2, 0.5, zscore=False),
    ]
    vector = user_vector(make(blocks=blocks), None, rows(1, 2))
    np.testing.assert_allclose(vector, [0, 1.5, 2.5], rtol=1e-6)


def test_a_sum_without_variance_is_zero_and_not_nan(make):
    artifact = make(covariances={"ease": np.zeros((2, 2), np.float32)})
    np.testing.assert_array_equal(user_vector(artifact, 0, rows(1)), [7, 0, 0])


def test_a_new_user_without_items_has_no_vector(make):
    assert user_vector(make(), None, rows()) is None


def test_a_user_whose_row_is_zero_has_no_vector(make):
    assert user_vector(make(users=np.zeros((1, 3), np.float32)), 0, rows()) is None


def test_a_new_user_has_no_vector_where_all_blocks_are_learned(make):
    artifact = make(
        blocks=[Block("bpr", "learned", 0, 3, 1.0, zscore=False)], covariances={}, factors={}
    )
    assert user_vector(artifact, None, rows(1)) is None

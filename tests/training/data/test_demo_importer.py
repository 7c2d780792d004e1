from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.dataset import Dataset, read_dataset
from training.data.importers.demo import import_demo
from training.data.splits import known_pairs, random_per_user
from training.errors import DataError


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    import_demo(folder)
    return read_dataset(folder)


def _matrix(ds: Dataset) -> NDArray[np.float64]:
    pairs = known_pairs(ds)
    matrix = np.zeros((ds.num_users, ds.num_items))
    matrix[pairs.user_rows, pairs.item_rows] = 1
    return matrix


def _similarity(features: NDArray[np.float32]) -> NDArray[np.float64]:
    centred = np.nan_to_num(features - np.nanmean(features, axis=0))
    centred /= np.linalg.norm(centred, axis=1, keepdims=True) + 1e-9
    similarity: NDArray[np.float64] = (centred @ centred.T).astype(np.float64)
    return similarity


def _recall_at_20(ds: Dataset, similarity: NDArray[np.float64]) -> float:
    split = random_per_user(ds, np.random.default_rng(0))
    train, truth = np.zeros((2, ds.num_users, ds.num_items))
    train[split.train.user_rows, split.train.item_rows] = 1
    truth[split.validation.user_rows, split.validation.item_rows] = 1
    scores = train @ np.maximum(similarity, 0) ** 2 * np.sqrt(train.sum(axis=0))
    top = np.argsort(np.where(train > 0, -np.inf, scores) * -1, axis=1)[:, :20]
    hits = np.take_along_axis(truth, top, axis=1).sum(axis=1)
    tested = truth.sum(axis=1) > 0
    return float((hits[tested] / truth.sum(axis=1)[tested]).mean())


@pytest.mark.parametrize("modality", ["image", "text"])
def test_neighbours_in_one_modality_are_consumed_together(demo: Dataset, modality: str) -> None:
    matrix = _matrix(demo)
    together = matrix.T @ matrix
    popularity = np.sqrt(matrix.sum(axis=0)) + 1e-9
    together /= popularity[:, None] * popularity
    np.fill_diagonal(together, 0)
    similarity = _similarity(demo.features[modality])
    np.fill_diagonal(similarity, -1)
    nearest = np.argsort(-similarity, axis=1)[:, :10]

    lift = np.take_along_axis(together, nearest, axis=1).mean() / together.mean()

    assert lift > 2


def test_a_ranking_that_ignores_a_modality_loses(demo: Dataset) -> None:
    image, text = (_similarity(demo.features[name]) for name in ("image", "text"))

    both = _recall_at_20(demo, np.maximum(image, 0) ** 2 + np.maximum(text, 0) ** 2)

    assert both > 1.15 * _recall_at_20(demo, image)
    assert both > 1.15 * _recall_at_20(demo, text)


def test_sizes_and_activity_are_as_documented(demo: Dataset) -> None:
    per_user = np.bincount(demo.interactions.user_rows)

    assert (demo.num_users, demo.num_items) == (2000, 800)
    assert 15 < per_user.mean() < 20
    assert per_user.min() >= 5
    assert per_user.max() > 5 * np.median(per_user)


def test_popularity_has_a_long_tail(demo: Dataset) -> None:
    counts = np.sort(_matrix(demo).sum(axis=0))[::-1]

    # The top tenth of items takes far more than a tenth of all pairs.
    assert counts[:80].sum() > 0.3 * counts.sum()


def test_some_items_have_no_interactions(demo: Dataset) -> None:
    assert (_matrix(demo).sum(axis=0) == 0).sum() >= 8


def test_one_item_in_a_hundred_lacks_features(demo: Dataset) -> None:
    missing = [int(np.isnan(x).all(axis=1).sum()) for x in demo.features.values()]

    assert missing == [8, 8]


def test_times_cover_half_a_year_up_to_the_end_of_october_2026(demo: Dataset) -> None:
    times = demo.interactions.timestamps
    assert times is not None
    first, last = (datetime.fromtimestamp(t / 1000, UTC) for t in (times.min(), times.max()))

    assert first >= datetime(2026, 5, 4, tzinfo=UTC)
    assert datetime(2026, 10, 25, tzinfo=UTC) < last <= datetime(2026, 10, 31, tzinfo=UTC)


def test_titles_are_readable_and_metadata_complete(demo: Dataset) -> None:
    assert demo.metadata.columns == ["item_id", "title", "category", "price"]
    assert demo.metadata["title"].str.contains(r"^[A-Z][a-z]+ [a-z ]+ \d+$").all()
    assert demo.metadata.null_count().sum_horizontal().item() == 0


def test_purchases_weigh_more_than_views(demo: Dataset) -> None:
    assert demo.event_types["view"].weight == 0.5
    assert demo.event_types["purchase"].weight == 1.0
    assert set(demo.interactions.types.tolist()) == {"view", "purchase"}


def test_a_purchase_follows_a_view_of_the_same_pair(demo: Dataset) -> None:
    events = demo.interactions
    assert events.timestamps is not None
    keys = events.user_rows * demo.num_items + events.item_rows
    bought = events.types == "purchase"
    viewed_at = dict(zip(keys[~bought].tolist(), events.timestamps[~bought].tolist(), strict=True))

    gaps = [
        time_ms - viewed_at[key]
        for key, time_ms in zip(
            keys[bought].tolist(), events.timestamps[bought].tolist(), strict=True
        )
    ]

    assert min(gaps) > 0


def test_one_seed_gives_one_content(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        import_demo(tmp_path / name, num_users=50, num_items=60, seed=seed)

    a, b, c = (read_dataset(tmp_path / name).fingerprint for name in ("a", "b", "c"))

    assert a == b
    assert a != c


def test_too_few_items_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="num_items 10; use at least 1 user and 50 items"):
        import_demo(tmp_path / "demo", num_items=10)

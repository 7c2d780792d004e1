"""What is served is what was measured: the same items in the same order."""

from pathlib import Path

import numpy as np
import pytest

from mutualrec.workspace import Workspace
from training.config import RunConfig, TrainingConfig
from training.data.dataset import Dataset, read_dataset
from training.data.importers.mmrec import import_mmrec
from training.data.splits import Pairs, known_pairs
from training.ensemble_folder import build_ensemble, read_ensemble
from training.evaluation import rank
from training.publish import publish
from training.run_folder import RunFolder
from training.runs import train_run, vector_scorer

pytestmark = pytest.mark.slow

K = 20


def offline(dataset: Dataset, ensemble: Path, users: np.ndarray) -> list[list[str]]:
    """The first K items of the measured ensemble, without what the users are known to have."""
    chosen = read_ensemble(ensemble).ensemble
    anything = Pairs.of(users, np.zeros_like(users))
    score = vector_scorer(chosen.users, chosen.items)
    ranking = rank(score, anything, known_pairs(dataset), dataset.num_users, depth=K)
    return [dataset.items.ids(rows) for rows in ranking.item_rows]


def served(server, dataset: Dataset, users: np.ndarray) -> list[list[str]]:
    return [server.items(user, k=K) for user in dataset.users.ids(users)]


def a_hundred_users(dataset: Dataset) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.sort(rng.choice(dataset.num_users, 100, replace=False))


def test_demo_users_are_served_the_offline_ranking(server) -> None:
    dataset = read_dataset(server.home / "data")
    users = a_hundred_users(dataset)
    ensemble = Workspace(server.home).ensemble(dataset.name, "default")
    assert served(server, dataset, users) == offline(dataset, ensemble, users)


@pytest.mark.real_data
def test_amazon_baby_users_are_served_the_offline_ranking(
    real_data: Path, tmp_path: Path, serve
) -> None:
    folder = tmp_path / "dataset"
    import_mmrec(real_data / "amazon-baby", folder)
    dataset = read_dataset(folder)
    home = Workspace(tmp_path / "home")
    runs = []
    for model, params in (("micro", {"skip": 1.0}), ("itemcf", {"rank": 64})):
        run = RunFolder(home.run(dataset.name, model))
        quick = TrainingConfig(max_epochs=1, num_threads=2)
        train_run(dataset, RunConfig(model=model, params=params, training=quick), run)
        runs.append(run)
    path = home.ensemble(dataset.name, "default")
    chosen = build_ensemble(dataset, runs, path, weights=[1.0, 0.5])
    publish(dataset, chosen, home.artifacts, "default", dataset_folder=folder)
    users = a_hundred_users(dataset)
    assert served(serve(home.home), dataset, users) == offline(dataset, path, users)

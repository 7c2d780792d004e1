import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from shop import Shop

from training.config import RunConfig, TrainingConfig
from training.data.dataset import Dataset, read_dataset
from training.data.importers.demo import import_demo
from training.ensemble_folder import ChosenEnsemble, build_ensemble
from training.publish import publish
from training.run_folder import RunFolder
from training.runs import train_run

SMALL = {"bpr": {"embedding_dim": 8}, "lightgcn": {"embedding_dim": 8}, "itemcf": {"rank": 16}}
SMALL["micro"] = {"embedding_dim": 8, "contrast_samples": 32}


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "demo"
    import_demo(folder, num_users=150, num_items=60, seed=1)
    return folder


@pytest.fixture(scope="session")
def demo_dataset(demo_folder: Path) -> Dataset:
    return read_dataset(demo_folder)


def config_of(model: str, seed: int = 0, **training: object) -> RunConfig:
    settings = {"max_epochs": 4, "eval_every": 2, "batch_size": 256, "num_threads": 1}
    return RunConfig(
        model=model,
        params=dict(SMALL[model]),
        seed=seed,
        training=TrainingConfig(**{**settings, **training}),  # type: ignore[arg-type]
    )


@pytest.fixture
def run_config() -> Callable[..., RunConfig]:
    def make(model: str = "bpr", seed: int = 0, **training: object) -> RunConfig:
        return config_of(model, seed, **training)

    return make


@pytest.fixture(scope="session")
def shop_ensemble(
    demo_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> ChosenEnsemble:
    folder = tmp_path_factory.mktemp("shop")
    runs = [RunFolder(folder / model) for model in ("bpr", "itemcf")]
    for run in runs:
        train_run(demo_dataset, config_of(run.path.name, max_epochs=2, eval_every=1), run)
    return build_ensemble(demo_dataset, runs, folder / "ensemble", weights=[0.2, 1.0])


@pytest.fixture
def shop(
    redis_url: str,
    demo_dataset: Dataset,
    demo_folder: Path,
    shop_ensemble: ChosenEnsemble,
    tmp_path: Path,
) -> Iterator[Shop]:
    """A catalog with one version of two members and no events yet."""
    data = tmp_path / "data"
    shutil.copytree(demo_folder, data)
    publish(demo_dataset, shop_ensemble, tmp_path / "artifacts", "default", dataset_folder=data)
    with redis.Redis.from_url(redis_url) as client:
        yield Shop(client, tmp_path, data)

from collections.abc import Callable
from pathlib import Path

import pytest

from training.config import RunConfig, TrainingConfig
from training.data.dataset import Dataset, read_dataset
from training.data.importers.demo import import_demo

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


@pytest.fixture
def run_config() -> Callable[..., RunConfig]:
    def make(model: str = "bpr", seed: int = 0, **training: object) -> RunConfig:
        settings = {"max_epochs": 4, "eval_every": 2, "batch_size": 256, "num_threads": 1}
        return RunConfig(
            model=model,
            params=dict(SMALL[model]),
            seed=seed,
            training=TrainingConfig(**{**settings, **training}),  # type: ignore[arg-type]
        )

    return make

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from benchmarks.experiment import Experiment, read_experiment
from benchmarks.place import Place
from mutualrec.workspace import Workspace
from training.data.dataset import Dataset, read_dataset
from training.data.importers.demo import import_demo

TINY = """
title = "Tiny"
datasets = ["demo"]

[base]
params = { embedding_dim = 8 }
training = { max_epochs = 2, eval_every = 1, batch_size = 256, num_threads = 1 }
"""


@pytest.fixture(scope="session")
def demo_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "demo"
    import_demo(folder, num_users=120, num_items=60, seed=1)
    return folder


@pytest.fixture(scope="session")
def demo(demo_path: Path) -> Dataset:
    return read_dataset(demo_path)


@pytest.fixture(scope="session")
def place_in() -> Callable[[Path], Place]:
    def make(folder: Path) -> Place:
        return Place(Workspace(folder / "home"), results=folder / "results", configs=folder)

    return make


@pytest.fixture(scope="session")
def experiment_in() -> Callable[[Path, str], Experiment]:
    def write(folder: Path, text: str) -> Experiment:
        path = folder / "tiny.toml"
        # What comes before the first table belongs to the experiment itself.
        path.write_text(text if "title" in text else TINY.replace("\n[base]", f"{text}\n[base]"))
        return read_experiment(path)

    return write


@pytest.fixture
def place(place_in: Callable[[Path], Place], tmp_path: Path) -> Place:
    return place_in(tmp_path)


@pytest.fixture
def experiment(
    experiment_in: Callable[[Path, str], Experiment], tmp_path: Path
) -> Callable[[str], Experiment]:
    return partial(experiment_in, tmp_path)

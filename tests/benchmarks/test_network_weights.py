from pathlib import Path

import numpy as np
import pytest

from benchmarks.network_weights import CHOICES, compare, halves, load, weighable
from training.config import RunConfig, TrainingConfig
from training.data.dataset import read_dataset
from training.data.importers.demo import import_demo
from training.data.pairs import Pairs
from training.data.splits import make_split
from training.run_folder import RunFolder
from training.runs import train_run


def test_no_user_both_chooses_and_is_measured() -> None:
    validation = Pairs.of(np.repeat(np.arange(40), 2), np.tile([0, 1], 40))
    measured = []
    for choosing, others in halves(validation, np.random.default_rng(0)):
        assert set(choosing.user_rows).isdisjoint(others.user_rows)
        assert len(choosing) + len(others) == len(validation)
        measured += [*others.user_rows]
    assert sorted(measured) == sorted(validation.user_rows)


def test_a_trained_run_is_compared_without_opening_its_test_split(tmp_path: Path) -> None:
    import_demo(tmp_path / "demo", num_users=80, num_items=50, seed=1)
    dataset = read_dataset(tmp_path / "demo")
    training = TrainingConfig(max_epochs=2, eval_every=1, batch_size=256, num_threads=1)
    runs = []
    for name, params in (("con", {}), ("ave", {"ensemble": "ave"})):
        runs.append(RunFolder(tmp_path / name))
        given = RunConfig(model="gnnmr", params={"embedding_dim": 4, **params}, training=training)
        train_run(dataset, given, runs[-1])
    assert weighable(runs[1]) is None, "an average has no weights"
    config = weighable(runs[0])
    assert config is not None
    model = load(dataset, runs[0], config, tmp_path / "cache")
    split = make_split(dataset, config.split, config.split_seed)
    found = compare(model, split.train, split.validation)
    assert set(found) == set(CHOICES)
    for metrics in found.values():
        assert metrics["recall@20"] > 0.0
    whole = runs[0].result().validation["recall@20"]
    assert found["equal weights"]["recall@20"] == pytest.approx(whole, abs=0.05)
    assert not (runs[0].path / "test.json").exists()

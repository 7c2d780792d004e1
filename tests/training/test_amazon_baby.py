"""Numbers that are known for the exact benchmark split: they check split, graphs and metrics."""

from pathlib import Path

import pytest

from training.config import RunConfig, TrainingConfig
from training.data.dataset import Dataset, read_dataset
from training.data.importers.mmrec import import_mmrec
from training.run_folder import RunFolder
from training.runs import evaluate_run, train_run

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def baby(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("baby") / "dataset"
    import_mmrec(real_data / "amazon-baby", folder)
    return read_dataset(folder)


@pytest.mark.parametrize(
    ("model", "recall", "ndcg"), [("itemcf", 0.0872, 0.0409), ("ease", 0.0821, 0.0398)]
)
def test_closed_forms_reach_their_known_test_metrics(
    model: str, recall: float, ndcg: float, baby: Dataset, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path)
    # The factors are not measured here, so they may be small.
    config = RunConfig(model=model, params={"rank": 8}, training=TrainingConfig(num_threads=2))
    train_run(baby, config, folder)
    means = evaluate_run(baby, folder).means
    assert round(means["recall@20"], 4) == recall
    assert round(means["ndcg@20"], 4) == ndcg

from pathlib import Path

import numpy as np
import pytest

from service.artifact import Artifact, current_version, load_artifact
from training.config import RunConfig
from training.data.dataset import Dataset
from training.data.splits import known_pairs, make_split
from training.ensemble_folder import (
    ChosenEnsemble,
    build_ensemble,
    evaluate_ensemble,
    read_ensemble,
)
from training.publish import publish
from training.run_folder import RunFolder
from training.runs import train_run


@pytest.fixture(scope="module")
def chosen(demo_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> ChosenEnsemble:
    folder = tmp_path_factory.mktemp("chosen")
    runs = []
    for model, params in (("popularity", {}), ("itemcf", {"rank": 16})):
        runs.append(RunFolder(folder / model))
        train_run(demo_dataset, RunConfig(model=model, params=params), runs[-1])
    build_ensemble(demo_dataset, runs, folder / "ensemble", weights=[0.5, 1.0])
    evaluate_ensemble(demo_dataset, folder / "ensemble")
    return read_ensemble(folder / "ensemble")


@pytest.fixture
def artifact(
    demo_dataset: Dataset, demo_folder: Path, chosen: ChosenEnsemble, tmp_path: Path
) -> Artifact:
    version = publish(demo_dataset, chosen, tmp_path, "default", dataset_folder=demo_folder)
    assert current_version(tmp_path, "default") == version
    return load_artifact(tmp_path, "default", version)


def test_seen_is_every_positive_pair_held_out_ones_included(
    artifact: Artifact, demo_dataset: Dataset, chosen: ChosenEnsemble
) -> None:
    indptr, indices = known_pairs(demo_dataset).to_csr(demo_dataset.num_users)
    assert np.array_equal(artifact.seen_indptr, indptr)
    assert np.array_equal(artifact.seen_indices, indices)
    train = make_split(demo_dataset, chosen.split, chosen.split_seed).train
    assert len(artifact.seen_indices) > len(train)


def test_stored_users_are_those_of_the_ensemble(artifact: Artifact, chosen: ChosenEnsemble) -> None:
    assert np.array_equal(artifact.users, chosen.ensemble.users.numpy())
    assert np.array_equal(artifact.items, chosen.ensemble.items.numpy())


def test_popularity_counts_the_users_of_an_item(artifact: Artifact) -> None:
    counts = np.bincount(artifact.seen_indices, minlength=len(artifact.item_ids))
    assert np.array_equal(artifact.popularity, counts)


def test_daily_counts_hold_every_positive_event_by_its_weight(
    artifact: Artifact, demo_dataset: Dataset
) -> None:
    events, types = demo_dataset.interactions, demo_dataset.event_types
    weights = {name: t.weight for name, t in types.items() if t.sign == "positive"}
    item = int(artifact.popularity.argmax())
    expected: dict[int, float] = {}
    for time, row, name in zip(events.timestamps, events.item_rows, events.types, strict=True):
        if row == item and name in weights:
            day = int(time) // 86_400_000
            expected[day] = expected.get(day, 0.0) + weights[str(name)]
    of_item = artifact.daily.item_rows == item
    days, counts = artifact.daily.days[of_item], artifact.daily.counts[of_item]
    assert dict(zip(days.tolist(), counts.tolist(), strict=True)) == pytest.approx(expected)


def test_features_have_length_one_and_missing_ones_are_zero(
    artifact: Artifact, demo_dataset: Dataset
) -> None:
    missing = np.isnan(demo_dataset.features["image"]).any(axis=1)
    lengths = np.linalg.norm(artifact.features["image"], axis=1)
    assert lengths == pytest.approx((~missing).astype(float), abs=1e-5)
    assert missing.any()
    assert artifact.manifest.category_fields == ("category",)


def test_blocks_say_how_a_fresh_users_vector_is_made(artifact: Artifact) -> None:
    kinds = [(block.name, block.kind, block.zscore) for block in artifact.blocks]
    assert kinds == [("popularity", "learned", True), ("itemcf", "factors", True)]
    assert set(artifact.factors) == {"itemcf"}


def test_the_manifest_tells_the_service_event_types_and_retraining_its_data(
    artifact: Artifact, demo_folder: Path
) -> None:
    recipe = artifact.manifest.recipe
    assert recipe["dataset_folder"] == str(demo_folder.resolve())
    assert recipe["event_types"]["purchase"]["sign"] == "positive"
    assert set(artifact.manifest.metrics) == {"validation", "test"}

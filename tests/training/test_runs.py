import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training.config import RunConfig, read_run_config
from training.data.dataset import Dataset
from training.errors import DataError, InvalidParams, SplitLeakage, TrainingDiverged, UnknownModel
from training.run_folder import RunFolder
from training.runs import evaluate_run, train_run
from training.tested import Measured, read_tested, relative_change
from training.trainer import EpochReport

Make = Callable[..., RunConfig]


class Killed(Exception):
    pass


def kill_after(epoch: int) -> Callable[[EpochReport], None]:
    def report(entry: EpochReport) -> None:
        if entry.epoch == epoch:
            raise Killed

    return report


def train(dataset: Dataset, config: RunConfig, path: Path) -> RunFolder:
    folder = RunFolder(path)
    train_run(dataset, config, folder)
    return folder


@pytest.mark.parametrize("model", ["bpr", "lightgcn", "micro"])
def test_equal_seeds_give_equal_embeddings(
    model: str, demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    first = train(demo_dataset, run_config(model), tmp_path / "a").embeddings()
    second = train(demo_dataset, run_config(model), tmp_path / "b").embeddings()
    assert torch.equal(first["users"], second["users"])
    assert torch.equal(first["items"], second["items"])


def test_another_seed_gives_other_embeddings(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    first = train(demo_dataset, run_config(seed=0), tmp_path / "a").embeddings()
    second = train(demo_dataset, run_config(seed=1), tmp_path / "b").embeddings()
    assert not torch.equal(first["items"], second["items"])


@pytest.mark.parametrize("killed_in", [2, 4, 5])
def test_a_killed_run_ends_as_if_it_had_not_been_killed(
    killed_in: int, demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    config = run_config("micro", max_epochs=8)
    whole = train(demo_dataset, config, tmp_path / "whole")
    killed = RunFolder(tmp_path / "killed")
    with pytest.raises(Killed):
        train_run(demo_dataset, config, killed, report=kill_after(killed_in))
    train_run(demo_dataset, config, killed)
    assert torch.equal(whole.embeddings()["items"], killed.embeddings()["items"])
    assert [r["epoch"] for r in killed.reports()] == [r["epoch"] for r in whole.reports()]


def test_a_finished_run_is_not_trained_again(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    folder = train(demo_dataset, run_config(), tmp_path / "run")
    before = (tmp_path / "run" / "embeddings.safetensors").stat().st_mtime_ns
    train_run(demo_dataset, run_config(), folder, report=kill_after(0))
    assert (tmp_path / "run" / "embeddings.safetensors").stat().st_mtime_ns == before


def test_a_folder_with_other_settings_is_refused_and_names_them(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    train(demo_dataset, run_config(), tmp_path / "run")
    with pytest.raises(DataError, match=r"run\.training\.learning_rate"):
        train(demo_dataset, run_config(learning_rate=0.5), tmp_path / "run")


def test_a_run_leaves_settings_metrics_curves_and_result(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    folder = train(demo_dataset, run_config(), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "config.json",
        "metrics.jsonl",
        "curves.png",
        "embeddings.safetensors",
        "model.safetensors",
        "result.json",
    }
    assert folder.config().params["reg_weight"] == 0.1
    assert set(folder.reports()[-1]["metrics"]) >= {"recall@20", "ndcg@20", "precision@5"}
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_epochs_has_no_curves(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    train(demo_dataset, run_config("itemcf"), tmp_path)
    assert not (tmp_path / "curves.png").exists()


def test_training_raises_when_a_loss_is_not_finite(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    with pytest.raises(TrainingDiverged, match="bpr=nan") as caught:
        train(demo_dataset, run_config(learning_rate=1e30), tmp_path)
    assert caught.value.epoch <= 1
    assert not (tmp_path / "result.json").exists()


def test_training_stops_when_validation_no_longer_rises(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    config = run_config(max_epochs=400, eval_every=1, patience=3, learning_rate=0.05)
    result = train(demo_dataset, config, tmp_path).result()
    assert result.num_epochs == result.best_epoch + 4
    assert result.num_epochs < 400


def test_the_result_is_that_of_the_best_epoch(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    config = run_config(max_epochs=60, eval_every=1, patience=5, learning_rate=0.05)
    folder = train(demo_dataset, config, tmp_path)
    seen = [r["metrics"]["recall@20"] for r in folder.reports()]
    assert folder.result().validation["recall@20"] == pytest.approx(max(seen))


def test_a_checkpoint_that_is_damaged_is_named(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(Killed):
        train_run(demo_dataset, run_config(), folder, report=kill_after(2))
    (tmp_path / "checkpoint.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(DataError, match=r"checkpoint\.safetensors is not a checkpoint"):
        train_run(demo_dataset, run_config(), folder)


def test_the_test_split_is_opened_once_and_on_record(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    folder = train(demo_dataset, run_config(), tmp_path)
    metrics = evaluate_run(demo_dataset, folder)
    record = json.loads((tmp_path / "test.json").read_text())
    assert record["metrics"]["recall@20"] == metrics.means["recall@20"]
    with pytest.raises(SplitLeakage, match=r"test\.json"):
        evaluate_run(demo_dataset, folder)


def test_a_tested_run_has_intervals_and_each_modality_kept_alone(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    folder = train(demo_dataset, run_config("micro"), tmp_path)
    evaluate_run(demo_dataset, folder)
    tested = read_tested(tmp_path)
    assert tested is not None
    assert tested.metrics is not None
    low, high = tested.intervals["recall@20"]
    assert low < tested.metrics["recall@20"] < high
    assert set(tested.channels) == {"image", "text"}
    assert tested.channels["image"]["ndcg@20"] not in (
        tested.channels["text"]["ndcg@20"],
        tested.metrics["ndcg@20"],
    )


def test_a_model_without_modalities_has_no_channels(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    folder = train(demo_dataset, run_config("lightgcn"), tmp_path)
    evaluate_run(demo_dataset, folder)
    assert read_tested(tmp_path) is not None
    assert read_tested(tmp_path).channels == {}


def test_cold_items_are_tested_with_each_modality_kept_alone(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    folder = train(demo_dataset, replace(run_config("micro"), split="cold_items"), tmp_path)
    evaluate_run(demo_dataset, folder)
    assert set(read_tested(tmp_path).channels) == {"image", "text"}


def test_a_record_of_means_only_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text('{"split": "official", "metrics": {"recall@20": 0.1}}')
    assert read_tested(tmp_path) == Measured(metrics={"recall@20": 0.1})


def test_two_runs_are_compared_user_by_user(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    means = {}
    for model in ("bpr", "itemcf"):
        folder = train(demo_dataset, run_config(model), tmp_path / model)
        means[model] = evaluate_run(demo_dataset, folder).means["recall@20"]
    change, low, high = relative_change(tmp_path / "itemcf", tmp_path / "bpr", "recall@20")
    assert change == pytest.approx(100 * (means["itemcf"] / means["bpr"] - 1), rel=1e-4)
    assert low < change < high
    assert relative_change(tmp_path / "bpr", tmp_path / "bpr", "recall@20") == (0.0, 0.0, 0.0)


def test_closed_forms_are_measured_exactly(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    folder = train(demo_dataset, run_config("itemcf"), tmp_path)
    stored = load_file(tmp_path / "embeddings.safetensors")
    assert stored["factors"].shape == (demo_dataset.num_items, 16)
    assert folder.result().num_epochs == 0


def test_an_unknown_model_lists_the_choices(demo_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="bpr, deepstyle, dualgnn, ease"):
        train(demo_dataset, RunConfig(model="lightgnc"), tmp_path)


def test_an_unknown_parameter_lists_the_known_ones(demo_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InvalidParams, match=r"num_layer: .*known: embedding_dim, num_layers"):
        train(demo_dataset, RunConfig(model="lightgcn", params={"num_layer": 2}), tmp_path)


def test_modalities_that_do_not_exist_are_refused(demo_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="no feature vectors for audio; it has them for: category, image, text"
    ):
        train(demo_dataset, RunConfig(model="micro", modalities=("audio",)), tmp_path)


def test_a_model_that_cannot_learn_from_the_data_says_why(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    blind = replace(run_config("micro"), modalities=())
    with pytest.raises(DataError, match=r"micro cannot learn from demo: .*at least one modality"):
        train_run(demo_dataset, blind, RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_file_of_several_models_gives_the_others_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[micro.params]\nskip = 1.0\n[bpr.training]\npatience = 3\n")
    assert read_run_config(path, model="micro", seed=0).params == {"skip": 1.0}
    assert read_run_config(path, model="lightgcn", seed=0) == RunConfig("lightgcn")


def test_a_misspelt_table_of_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[trainig]\npatience = 3\n")
    with pytest.raises(DataError, match="trainig"):
        read_run_config(path, model="lightgcn", seed=0)

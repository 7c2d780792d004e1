import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_encoder import write_encoder

Invoke = Callable[..., Any]

QUICK = ("--set", "max_epochs=2", "--set", "eval_every=1", "--set", "num_threads=1")


def train(invoke: Invoke, folder: Path, model: str = "bpr", *more: object) -> Any:
    return invoke("train", folder, "--model", model, *QUICK, *more)


def test_every_command_has_help(invoke: Invoke) -> None:
    names = [
        "demo",
        "import",
        "train",
        "evaluate",
        "ensemble",
        "publish",
        "serve",
        "versions",
        "rollback",
        "retrain",
    ]
    shown = [invoke(name, "--help") for name in names]
    assert [result.code for result in shown] == [0] * len(names)
    assert all("Usage: mutualrec" in result.out for result in shown)


def test_the_way_from_training_to_a_published_version(invoke: Invoke, demo: Path) -> None:
    assert train(invoke, demo).code == 0
    assert train(invoke, demo, "itemcf", "--param", "rank=8").code == 0
    chosen = invoke("ensemble", demo)
    assert chosen.code == 0
    assert "bpr-seed0" in chosen.out
    assert invoke("evaluate", demo, "--ensemble", "default").code == 0
    assert "is current" in invoke("publish", demo).out
    listed = invoke("versions").out
    assert "current" in listed
    assert "bpr, itemcf" in listed


def test_the_test_split_cannot_be_opened_twice(invoke: Invoke, demo: Path) -> None:
    train(invoke, demo)
    assert invoke("evaluate", demo, "--run", "bpr-seed0").code == 0
    again = invoke("evaluate", demo, "--run", "bpr-seed0")
    assert again.code == 1
    assert "test split was opened before" in again.err


def test_rollback_goes_to_the_version_before(invoke: Invoke, demo: Path, tmp_path: Path) -> None:
    train(invoke, demo)
    invoke("ensemble", demo)
    invoke("publish", demo)
    pointer = tmp_path / "var" / "artifacts" / "default" / "CURRENT"
    first = pointer.read_text()
    invoke("publish", demo)
    assert pointer.read_text() != first
    assert invoke("rollback").code == 0
    assert pointer.read_text() == first


def test_a_damaged_version_is_not_rolled_back_to(
    invoke: Invoke, demo: Path, tmp_path: Path
) -> None:
    train(invoke, demo)
    invoke("ensemble", demo)
    invoke("publish", demo)
    pointer = tmp_path / "var" / "artifacts" / "default" / "CURRENT"
    first = pointer.read_text().strip()
    invoke("publish", demo)
    second = pointer.read_text()
    (pointer.parent / first / "embeddings.safetensors").write_bytes(b"damaged")
    result = invoke("rollback")
    assert result.code == 1
    assert "embeddings.safetensors" in result.err
    assert pointer.read_text() == second


def test_settings_come_from_a_file_and_the_command_line_wins(
    invoke: Invoke, demo: Path, tmp_path: Path
) -> None:
    path = tmp_path / "runs.toml"
    path.write_text("[bpr.params]\nembedding_dim = 4\n[bpr.training]\nlearning_rate = 0.5\n")
    result = train(
        invoke, demo, "bpr", "--config", path, "--set", "learning_rate=0.25", "--name", "mine"
    )
    assert result.code == 0
    written = (tmp_path / "var" / "runs" / "demo" / "mine" / "config.json").read_text()
    assert '"embedding_dim": 4' in written
    assert '"learning_rate": 0.25' in written


BAD = {
    "a dataset that is not there": (("train", "nowhere", "--model", "bpr"), "mutualrec import", 1),
    "a source that is not there": (("import", "mmrec", "nowhere", "t"), "nowhere", 1),
    "an unknown importer": (("import", "excel", "a", "b"), "No such command", 2),
    "no catalog to list": (("rollback",), "never published", 1),
    "a catalog name with a path": (("versions", "--catalog", "../x"), "catalog", 1),
    "retraining before publishing": (("retrain",), "`mutualrec publish`", 1),
    "evaluating nothing": (("evaluate", "d"), "either --run or --ensemble", 2),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gives_one_line_that_names_the_fix(case: str, invoke: Invoke) -> None:
    arguments, message, code = BAD[case]
    result = invoke(*arguments)
    assert result.code == code
    assert message in result.err.replace("\n", " ")
    assert "Traceback" not in result.err


BAD_TRAINING = {
    "an unknown model": (("--model", "bprr"), "choose one of: a2cmhne, bm3, bpr", 1),
    "an unknown parameter": (("--model", "bpr", "--param", "width=3"), "known: embedding_dim", 1),
    "a wrong value": (("--model", "bpr", "--param", "embedding_dim=big"), "embedding_dim", 1),
    "an unknown setting": (("--model", "bpr", "--set", "epochs=3"), "training.epochs", 1),
    "a setting out of range": (
        ("--model", "bpr", "--set", "batch_size=0"),
        "training.batch_size",
        1,
    ),
    "a rate below 0": (
        ("--model", "bpr", "--set", "learning_rate=-1"),
        "learning_rate",
        1,
    ),
    "a number that is none": (("--model", "bpr", "--set", "learning_rate=nan"), "finite", 1),
    "an unknown metric": (("--model", "bpr", "--set", "metric=auc"), "choose one of recall@5", 1),
    "vectors without width": (("--model", "bpr", "--param", "embedding_dim=0"), "embedding_dim", 1),
    "factors without width": (("--model", "itemcf", "--param", "rank=0"), "rank", 1),
    "a share above 1": (("--model", "lightgcn", "--param", "edge_share=2"), "edge_share", 1),
    "an unknown choice": (("--model", "micro", "--param", "item_input=x"), "'id' or 'features'", 1),
    "a seed below 0": (("--model", "bpr", "--seed", "-1"), "seed", 1),
    "no value": (("--model", "bpr", "--set", "max_epochs"), "is not name=value", 2),
    "an unknown split": (("--model", "bpr", "--split", "half"), "choose one of official", 1),
    "a config that is not there": (("--model", "bpr", "--config", "x.toml"), "x.toml", 1),
    "an unknown device": (("--model", "bpr", "--device", "tpu"), "cpu, cuda or auto", 2),
}


@pytest.mark.parametrize("case", BAD_TRAINING)
def test_bad_training_settings_are_refused_before_anything_is_written(
    case: str, invoke: Invoke, demo: Path, tmp_path: Path
) -> None:
    arguments, message, code = BAD_TRAINING[case]
    result = invoke("train", demo, *arguments)
    assert result.code == code
    assert message in result.err
    assert not (tmp_path / "var" / "runs").exists()


def test_an_ensemble_without_runs_says_what_to_do(invoke: Invoke, demo: Path) -> None:
    result = invoke("ensemble", demo)
    assert result.code == 1
    assert "mutualrec train" in result.err


def test_texts_of_items_become_a_modality_that_models_learn_from(
    invoke: Invoke, demo: Path, tmp_path: Path
) -> None:
    encoder = write_encoder(tmp_path / "words")
    options = ("--encoder", encoder, "--column", "category", "--modality", "words")
    assert "60 texts encoded as 'words', 4 numbers each" in invoke("encode", demo, *options).out
    assert 'encoder = "words@' in (demo / "dataset.toml").read_text()
    chosen = ("--model", "micro", "--modality", "words", "--set", "max_epochs=1")
    assert invoke("train", demo, *chosen).code == 0


def test_a_folder_that_is_no_encoder_says_what_it_needs(
    invoke: Invoke, demo: Path, tmp_path: Path
) -> None:
    result = invoke("encode", demo, "--encoder", tmp_path, "--column", "category")
    assert result.code == 1
    assert "it needs model.onnx" in result.err


def test_publishing_without_an_ensemble_says_what_to_do(invoke: Invoke, demo: Path) -> None:
    result = invoke("publish", demo)
    assert result.code == 1
    assert "mutualrec ensemble" in result.err


def test_a_strategy_and_modalities_are_chosen_by_option(
    invoke: Invoke, demo: Path, tmp_path: Path
) -> None:
    chosen = ("--strategy", "ckd", "--strategy-param", "distill_weight=0.5")
    modalities = ("--modality", "image", "--modality", "text")
    done = train(invoke, demo, "micro", *chosen, *modalities, "--param", "embedding_dim=8")
    assert done.code == 0
    runs = tmp_path / "var" / "runs" / "demo"
    stored = json.loads((runs / "micro-ckd-seed0" / "config.json").read_text())["run"]
    assert (stored["strategy"], stored["modalities"]) == ("ckd", ["image", "text"])
    assert stored["strategy_params"]["distill_weight"] == 0.5
    assert "micro-ckd-seed0" in invoke("ensemble", demo).out


def test_a_strategy_that_cannot_work_is_refused_in_one_line(invoke: Invoke, demo: Path) -> None:
    one = train(invoke, demo, "micro", "--strategy", "ckd", "--modality", "text")
    assert (one.code, one.err.count("\n")) == (1, 1)
    assert "choose more of them, or the strategy plain" in one.err
    unknown = train(invoke, demo, "micro", "--strategy", "mutual")
    assert (unknown.code, unknown.err.count("\n")) == (1, 1)
    assert "choose one of: ckd, gb, ogm, plain" in unknown.err

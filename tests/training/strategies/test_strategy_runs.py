"""Strategies in whole runs: teachers, resuming, settings, what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.config import RunConfig
from training.data.dataset import Dataset
from training.errors import DataError, InvalidParams, UnknownStrategy
from training.run_folder import RunFolder, finished_runs
from training.runs import resolve, train_run
from training.trainer import EpochReport

Make = Callable[..., RunConfig]
STRATEGIES = {
    "ckd": {"distill_weight": 0.5},
    "gb": {"estimate_every": 1},
    "ogm": {"strength": 1.0, "noise": True},
}


class Killed(Exception):
    pass


def kill_at(number: int) -> Callable[[EpochReport], None]:
    """Kill at the given report, counting those of teachers."""
    seen = []

    def report(entry: EpochReport) -> None:
        seen.append(entry)
        if len(seen) == number:
            raise Killed

    return report


@pytest.fixture
def strategy_config(run_config: Make) -> Make:
    def make(strategy: str = "ckd", model: str = "micro", **training: object) -> RunConfig:
        config = run_config(model, **{"max_epochs": 4, **training})
        return replace(config, strategy=strategy, strategy_params=dict(STRATEGIES[strategy]))

    return make


def train(dataset: Dataset, config: RunConfig, path: Path) -> RunFolder:
    folder = RunFolder(path)
    train_run(dataset, config, folder)
    return folder


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_changes_what_is_learned(
    strategy: str, demo_dataset: Dataset, strategy_config: Make, tmp_path: Path
) -> None:
    config = strategy_config(strategy, max_epochs=2)
    plain = train(demo_dataset, replace(config, strategy="plain", strategy_params={}), tmp_path)
    changed = train(demo_dataset, config, tmp_path / "changed")
    assert not torch.equal(plain.embeddings()["items"], changed.embeddings()["items"])


@pytest.fixture(scope="module")
def wholes() -> dict[str, RunFolder]:
    """Runs that nobody killed, by their strategy."""
    return {}


# ckd reports four epochs of either teacher first, so 6 kills the second one.
@pytest.mark.parametrize(
    ("strategy", "report"),
    [("ckd", 6), ("ckd", 11), ("gb", 3), ("ogm", 3)],
)
def test_a_killed_run_ends_as_if_it_had_not_been_killed(
    strategy: str,
    report: int,
    demo_dataset: Dataset,
    strategy_config: Make,
    tmp_path_factory: pytest.TempPathFactory,
    wholes: dict[str, RunFolder],
) -> None:
    config = strategy_config(strategy)
    if strategy not in wholes:
        folder = tmp_path_factory.mktemp("whole") / "run"
        wholes[strategy] = train(demo_dataset, config, folder)
    whole = wholes[strategy]
    killed = RunFolder(tmp_path_factory.mktemp("killed") / "run")
    with pytest.raises(Killed):
        train_run(demo_dataset, config, killed, report=kill_at(report))
    train_run(demo_dataset, config, killed)
    assert torch.equal(whole.embeddings()["items"], killed.embeddings()["items"])
    assert torch.equal(whole.embeddings()["users"], killed.embeddings()["users"])


def test_a_teacher_is_a_run_of_one_modality_with_the_same_settings(
    demo_dataset: Dataset, strategy_config: Make, tmp_path: Path
) -> None:
    folder = train(demo_dataset, strategy_config(max_epochs=1), tmp_path / "run")
    teachers = [path.config() for path in finished_runs(tmp_path / ".teachers")]
    assert [teacher.modalities for teacher in teachers] == [("image",), ("text",)]
    assert {teacher.strategy for teacher in teachers} == {"plain"}
    assert teachers[0].params == folder.config().params
    assert teachers[0].training == folder.config().training


def test_teachers_can_have_settings_of_their_own(
    demo_dataset: Dataset, strategy_config: Make, tmp_path: Path
) -> None:
    config = strategy_config(max_epochs=1)
    settings = {"teacher_params": {"reg_weight": 0.5}, "teacher_training": {"max_epochs": 2}}
    folder = train(demo_dataset, replace(config, strategy_params=settings), tmp_path / "run")
    student, teacher = folder.config(), finished_runs(tmp_path / ".teachers")[0].config()
    assert teacher.params == {**student.params, "reg_weight": 0.5}
    assert teacher.training == replace(student.training, max_epochs=2)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"teacher_params": {"reg_wait": 0.5}}, "reg_wait"),
        ({"teacher_training": {"epochs": 2}}, "epochs"),
    ],
)
def test_settings_that_teachers_cannot_have_are_refused_before_anything_is_written(
    settings: dict[str, object],
    problem: str,
    demo_dataset: Dataset,
    strategy_config: Make,
    tmp_path: Path,
) -> None:
    config = replace(strategy_config(), strategy_params=settings)
    with pytest.raises((DataError, InvalidParams), match=problem):
        train(demo_dataset, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_teachers_are_trained_once_for_all_runs_with_their_settings(
    demo_dataset: Dataset, strategy_config: Make, tmp_path: Path
) -> None:
    config = strategy_config(max_epochs=1)
    train(demo_dataset, config, tmp_path / "first")
    reports: list[EpochReport] = []
    other = replace(config, strategy_params={"distill_weight": 2.0})
    train_run(demo_dataset, other, RunFolder(tmp_path / "second"), report=reports.append)
    assert len(reports) == 1
    train_run(demo_dataset, replace(other, seed=1), RunFolder(tmp_path / "third"))
    assert len(finished_runs(tmp_path / ".teachers")) == 4


def test_teachers_are_no_members_of_an_ensemble(
    demo_dataset: Dataset, strategy_config: Make, tmp_path: Path
) -> None:
    train(demo_dataset, strategy_config(max_epochs=1), tmp_path / "run")
    assert [run.path.name for run in finished_runs(tmp_path)] == ["run"]


def test_what_a_teacher_learns_is_reported_under_its_name(
    demo_dataset: Dataset, strategy_config: Make, tmp_path: Path
) -> None:
    reports: list[EpochReport] = []
    config = strategy_config(max_epochs=1)
    train_run(demo_dataset, config, RunFolder(tmp_path / "run"), report=reports.append)
    assert "image teacher's bpr" in reports[0].terms
    assert "text teacher's bpr" in reports[1].terms
    assert "ckd_specific" in reports[2].terms


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_modality_cannot_be_balanced(
    strategy: str, demo_dataset: Dataset, strategy_config: Make, tmp_path: Path
) -> None:
    config = replace(strategy_config(strategy), modalities=("text",))
    with pytest.raises(DataError, match="needs at least 2; there are: text; choose more"):
        train(demo_dataset, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_model_without_content_is_refused(
    strategy: str, demo_dataset: Dataset, strategy_config: Make, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="lightgcn uses none; choose a model that learns from"):
        train(demo_dataset, strategy_config(strategy, "lightgcn"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_strategy_lists_the_choices(demo_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UnknownStrategy, match="'dkc'; choose one of: ckd, gb, ogm, plain"):
        train(demo_dataset, RunConfig(model="micro", strategy="dkc"), tmp_path)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"tau": 1}, r"parameters of ckd: tau: .*known: distill_weight"),
        ({"momentum": 1.0}, r"momentum: .*less than 1"),
        ({"specific": "huber"}, r"specific: .*'hinge', 'kl', 'mse' or 'none'"),
    ],
)
def test_parameters_of_a_strategy_are_checked(
    params: dict[str, object], message: str, demo_dataset: Dataset, tmp_path: Path
) -> None:
    config = RunConfig(model="micro", strategy="ckd", strategy_params=params)
    with pytest.raises(InvalidParams, match=message):
        train(demo_dataset, config, tmp_path)


def test_every_parameter_of_the_strategy_is_written_down(demo_dataset: Dataset) -> None:
    resolved = resolve(RunConfig(model="micro", strategy="CKD"), demo_dataset)
    assert resolved.strategy == "ckd"
    assert resolved.strategy_params == {
        "distill_weight": 0.01,
        "generic_weight": 5.0,
        "temperature": 0.1,
        "generic_triples": 5000,
        "specific": "hinge",
        "reweighting": "batch",
        "momentum": 0.9,
        "standardise": False,
        "teacher_params": {},
        "teacher_training": {},
    }


def test_the_order_of_modalities_makes_no_other_run(demo_dataset: Dataset) -> None:
    one, other = (
        resolve(RunConfig(model="micro", modalities=chosen), demo_dataset)
        for chosen in (("text", "image"), ("image", "text", "text"))
    )
    assert one == other


def test_a_run_of_before_there_were_strategies_is_a_plain_one(
    demo_dataset: Dataset, run_config: Make, tmp_path: Path
) -> None:
    folder = train(demo_dataset, run_config(), tmp_path)
    path = tmp_path / "config.json"
    stored = json.loads(path.read_text())
    del stored["run"]["strategy"], stored["run"]["strategy_params"]
    path.write_text(json.dumps(stored))
    assert folder.config().strategy == "plain"
    again = train_run(demo_dataset, run_config(), folder, report=kill_at(1))
    assert again == folder.result()

import json
from pathlib import Path

import pytest


@pytest.mark.usefixtures("demo")
def test_a_benchmark_writes_its_rows_and_is_measured_once(invoke, tmp_path: Path) -> None:
    command = ("benchmark", "demo", "--dataset", tmp_path, "--only", "itemcf", "--results")
    first = invoke(*command, tmp_path / "results")
    assert first.code == 0, first.err
    assert "[1/1] demo on demo: itemcf, seed 0" in first.out
    rows = json.loads((tmp_path / "results" / "demo.json").read_text())
    assert {row["command"] for row in rows} == {"mutualrec benchmark demo --threads 1"}
    assert {row["model"] for row in rows} == {"itemcf"}
    again = invoke(*command, tmp_path / "results")
    assert again.code == 0, again.err
    assert json.loads((tmp_path / "results" / "demo.json").read_text()) == rows


def test_seeds_given_on_the_command_line_win(invoke, demo: Path, tmp_path: Path) -> None:
    chosen = ("--only", "itemcf", "--seeds", "3,4", "--results", tmp_path / "results")
    assert invoke("benchmark", "demo", "--dataset", demo, *chosen).code == 0
    rows = json.loads((tmp_path / "results" / "demo.json").read_text())
    assert rows[0]["seeds"] == [3, 4]
    assert rows[0]["command"] == "mutualrec benchmark demo --threads 1 --seeds 3,4"


def test_the_list_names_every_experiment(invoke) -> None:
    shown = invoke("benchmark", "--list")
    assert shown.code == 0
    assert "micro-backbones" in shown.out
    assert "several at once:" in shown.out


def test_an_unknown_benchmark_ends_in_one_line(invoke) -> None:
    result = invoke("benchmark", "mikro")
    assert result.code == 1
    assert "unknown benchmark 'mikro'; choose one of:" in result.err
    assert result.err.count("\n") == 1


def test_a_folder_without_data_is_named(invoke, tmp_path: Path) -> None:
    result = invoke("benchmark", "overall", "--dataset", tmp_path / "nothing")
    assert result.code == 1
    assert "no dataset in" in result.err


def test_a_benchmark_of_other_data_names_its_own(invoke, demo: Path) -> None:
    result = invoke("benchmark", "overall", "--dataset", demo)
    assert result.code == 1
    assert "overall is measured on amazon-baby, and none of them is here" in result.err


def test_seeds_that_are_no_numbers_are_wrong_usage(invoke, demo: Path) -> None:
    assert invoke("benchmark", "demo", "--dataset", demo, "--seeds", "a,b").code == 2

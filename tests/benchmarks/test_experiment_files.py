"""Every experiment can be run with the code as it is."""

from pathlib import Path

import pytest

from benchmarks.experiment import (
    CONFIGS,
    EXPERIMENTS,
    Experiment,
    Variant,
    choose,
    read_experiment,
    read_experiments,
    run_config,
)
from training.data.splits import SPLITS
from training.errors import DataError
from training.evaluation import METRICS
from training.registry import parse_params, parse_strategy_params

FILES = sorted(EXPERIMENTS.glob("*.toml"))
CASES = [
    pytest.param(dataset, variant, id=f"{experiment.name}-{dataset}-{variant.label}")
    for experiment in read_experiments().values()
    for dataset in experiment.datasets
    for variant in experiment.variants_on(dataset)
]


@pytest.mark.parametrize(("dataset", "variant"), CASES)
def test_models_parameters_and_settings_of_every_variant_exist(
    dataset: str, variant: Variant
) -> None:
    config = run_config(variant, dataset, seed=0, num_threads=1)
    parse_params(config.model, config.params)
    parse_strategy_params(config.strategy, config.strategy_params)
    assert config.split == "auto" or config.split in SPLITS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_metrics_shown_and_published_are_measured(path: Path) -> None:
    experiment = read_experiment(path)
    published = {m for variant in experiment.variants for m in variant.published}
    assert {*experiment.metrics, *published} <= set(METRICS)
    assert published <= set(experiment.metrics)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_published_figures_name_their_source(path: Path) -> None:
    experiment = read_experiment(path)
    cites = any(variant.published or variant.channels for variant in experiment.variants)
    assert bool(experiment.source) == cites


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_chosen_on_validation_never_opens_the_test_split(path: Path) -> None:
    experiment = read_experiment(path)
    assert experiment.part == ("validation" if experiment.name == "tuning" else "test")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_chosen_settings_belong_to_a_dataset_of_an_experiment(path: Path) -> None:
    named = {name for experiment in read_experiments().values() for name in experiment.datasets}
    assert path.stem in named


def test_a_group_and_all_stand_for_several() -> None:
    experiments = read_experiments()
    micro = [experiment.name for experiment in choose(experiments, ["micro"])]
    assert {"micro-backbones", "micro-k"} <= set(micro)
    assert all(name.startswith("micro-") for name in micro)
    everything = {experiment.name for experiment in choose(experiments, ["all"])}
    assert everything == experiments.keys() - {"demo", "tuning"}


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(DataError, match=r"unknown benchmark 'mikro'; choose .*micro-k, .*all"):
        choose(read_experiments(), ["mikro"])


def test_a_curve_is_a_variant_per_value(experiment) -> None:
    made: Experiment = experiment(
        """
title = "Curve"
datasets = ["demo"]
[base]
model = "micro"
params = { embedding_dim = 8 }
[[curve]]
series = "neighbours"
parameter = "params.k"
values = [2, 10]
published = { "recall@20" = [0.1, 0.2] }
"""
    )
    assert [(v.label, v.x, v.series) for v in made.variants] == [
        ("k = 2", 2, "neighbours"),
        ("k = 10", 10, "neighbours"),
    ]
    assert made.variants[1].params == {"embedding_dim": 8, "k": 10}
    assert made.variants[1].published == {"recall@20": 0.2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[variant]]\nlabel='a'\nmodel='bpr'\nparms={}", r"variants\.0\.parms"),
        ("[[variant]]\nlabel='a'\nmodel='bpr'\n" * 2, "several variants are called a"),
        ("[[variant]]\nlabel='a'\nmodel='bpr'\nover='b'", "no variant is called b"),
        ("[[ensemble]]\nlabel='a'\nmembers=['c']", "no variant is called c"),
        ("metrics=[", "cannot be read as TOML"),
    ],
)
def test_a_mistake_in_a_file_is_named(text: str, message: str, experiment) -> None:
    with pytest.raises(DataError, match=message):
        experiment(f"title = 'Wrong'\ndatasets = ['demo']\n{text}")

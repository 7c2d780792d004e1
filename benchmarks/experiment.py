"""Experiments as data: what is trained on what, what varies, and what was published.

A file `experiments/<name>.toml` is one experiment; its keys are the fields of `Experiment`. The
settings of every run are those of `configs/<dataset>.toml`, changed by `[base]`, changed by the
variant. A `[[curve]]` is a variant per value of one setting.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

from pydantic import TypeAdapter, ValidationError

from training.config import RunConfig, read_run_config
from training.ensemble import Method
from training.errors import DataError

EXPERIMENTS = Path(__file__).parent / "experiments"
CONFIGS = Path(__file__).parent / "configs"
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
_FORBID: dict[str, object] = {"extra": "forbid"}


@dataclass(frozen=True)
class Variant:
    """One line of an experiment's table: settings that are trained once per seed.

    Args:
        label: Its name, unique in the experiment.
        model: Registry name.
        params: Changed parameters of the model.
        training: Changed training settings.
        strategy: Training strategy.
        strategy_params: Changed parameters of the strategy.
        modalities: Modalities the model may use; None is all dense ones.
        split: Name of the split.
        seeds: Seeds; None is those of the experiment.
        datasets: Datasets it makes sense on; None is all of the experiment.
        series: The curve or group it belongs to.
        x: Its place on the curve.
        over: Label of the variant its change is stated over.
        published: Published figure by metric.
        channels: Per modality the published figures when it alone is kept.
    """

    __pydantic_config__ = _FORBID

    label: str
    model: str
    params: dict[str, object] = field(default_factory=dict)
    training: dict[str, object] = field(default_factory=dict)
    strategy: str = "plain"
    strategy_params: dict[str, object] = field(default_factory=dict)
    modalities: tuple[str, ...] | None = None
    split: str = "auto"
    seeds: tuple[int, ...] | None = None
    datasets: tuple[str, ...] | None = None
    series: str = ""
    x: float | None = None
    over: str = ""
    published: dict[str, float] = field(default_factory=dict)
    channels: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class EnsembleVariant:
    """An ensemble of all seeds of the variants named by label; weights chosen on validation."""

    __pydantic_config__ = _FORBID

    label: str
    members: tuple[str, ...]
    method: Method = "concat"


@dataclass(frozen=True)
class Experiment:
    """What one table of the benchmarks page shows.

    Args:
        name: Name of its file.
        title: Heading of its section.
        datasets: Names of the datasets it is measured on.
        variants: The lines of its table.
        ensembles: Ensembles of them.
        text: What to know when reading it.
        part: Split whose metrics are shown; `validation` never opens the test split.
        seeds: Seeds of variants that name none.
        metrics: Metrics shown.
        channels: Show each modality alone as well.
        picture: What is drawn.
        x_label: Name of what varies along a curve.
        log_x: Draw a curve over a logarithmic axis.
        source: Where the published figures are from.
        published_on: Dataset of the published figures.
        standalone: Leave it out of `all`.
    """

    __pydantic_config__ = _FORBID

    name: str
    title: str
    datasets: tuple[str, ...]
    variants: tuple[Variant, ...]
    ensembles: tuple[EnsembleVariant, ...] = ()
    text: str = ""
    part: Literal["test", "validation"] = "test"
    seeds: tuple[int, ...] = (0,)
    metrics: tuple[str, ...] = METRICS
    channels: bool = False
    picture: Literal["none", "bars", "curve"] = "bars"
    x_label: str = ""
    log_x: bool = False
    source: str = ""
    published_on: str = "amazon-baby"
    standalone: bool = False

    @property
    def labels(self) -> list[str]:
        """The labels of its variants and ensembles."""
        return [v.label for v in self.variants] + [e.label for e in self.ensembles]

    @property
    def group(self) -> str:
        """The first word of the name: experiments of one paper share it."""
        return self.name.split("-")[0]

    def variants_on(self, dataset: str) -> list[Variant]:
        """Return the variants that are measured on a dataset."""
        return [v for v in self.variants if v.datasets is None or dataset in v.datasets]

    def seeds_of(self, variant: Variant) -> tuple[int, ...]:
        """Return the seeds of a variant."""
        return self.seeds if variant.seeds is None else variant.seeds

    def reseeded(self, seeds: tuple[int, ...]) -> "Experiment":
        """Return the experiment with these seeds for every variant."""
        variants = tuple(replace(variant, seeds=None) for variant in self.variants)
        return replace(self, seeds=seeds, variants=variants)


def read_experiment(path: Path) -> Experiment:
    """Read an experiment's file.

    Raises:
        DataError: It is not TOML, or a key or value does not fit; the message names each.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path} cannot be read as TOML: {error}") from error
    base = cast(dict[str, object], content.pop("base", {}))
    listed = cast(list[dict[str, object]], content.pop("variant", []))
    curves = cast(list[dict[str, object]], content.pop("curve", []))
    points = [point for curve in curves for point in _points(curve)]
    values = {
        "name": path.stem,
        "ensembles": content.pop("ensemble", []),
        **content,
        "variants": [_changed(base, variant) for variant in [*listed, *points]],
    }
    try:
        experiment = TypeAdapter(Experiment).validate_python(values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise DataError(f"{path}: {faults}") from error
    _check_labels(experiment, path)
    return experiment


def read_experiments(folder: Path = EXPERIMENTS) -> dict[str, Experiment]:
    """Read every experiment of a folder, by name.

    Raises:
        DataError: A file is wrong.
    """
    found = [read_experiment(path) for path in sorted(folder.glob("*.toml"))]
    return {experiment.name: experiment for experiment in found}


def choose(experiments: Mapping[str, Experiment], names: Iterable[str]) -> list[Experiment]:
    """Return the experiments called so; a group's name and `all` stand for several.

    Raises:
        DataError: There is no such experiment; the message lists the choices.
    """
    chosen: dict[str, Experiment] = {}
    for name in names:
        if name == "all":
            found = [e for e in experiments.values() if not e.standalone]
        else:
            found = [e for e in experiments.values() if name in (e.name, e.group)]
        if not found:
            groups = {e.group for e in experiments.values()} - experiments.keys()
            raise DataError(
                f"unknown benchmark {name!r}; choose one of: {', '.join(experiments)}; "
                f"or several at once: {', '.join([*sorted(groups), 'all'])}"
            )
        chosen.update({experiment.name: experiment for experiment in found})
    return list(chosen.values())


def run_config(
    variant: Variant, dataset: str, seed: int, num_threads: int, configs: Path = CONFIGS
) -> RunConfig:
    """Return the settings of a run: those chosen for the dataset, changed by the variant.

    Raises:
        DataError: A name or value does not fit.
    """
    path = configs / f"{dataset}.toml"
    return read_run_config(
        path if path.exists() else None,
        model=variant.model,
        seed=seed,
        split=variant.split,
        modalities=variant.modalities,
        strategy=variant.strategy,
        strategy_params=variant.strategy_params,
        params=variant.params,
        training={**variant.training, "num_threads": num_threads},
    )


def _points(curve: dict[str, object]) -> list[dict[str, object]]:
    """Turn a curve into its variants; `published` holds a list per metric, one per value."""
    rest = dict(curve)
    parameter, values = cast(str, rest.pop("parameter")), cast(list[float], rest.pop("values"))
    published = cast(dict[str, list[float]], rest.pop("published", {}))
    table, name = parameter.split(".", 1)
    points = []
    for number, value in enumerate(values):
        figures = {metric: figures[number] for metric, figures in published.items()}
        point = {"label": f"{name} = {value:g}", "x": value, "published": figures, **rest}
        points.append(_changed(point, {table: {name: value}}))
    return points


def _changed(base: dict[str, object], changes: dict[str, object]) -> dict[str, object]:
    """Return `base` with the changes; tables are merged."""
    merged = {**base, **changes}
    for key, value in base.items():
        change = changes.get(key)
        if isinstance(value, dict) and isinstance(change, dict):
            merged[key] = {**value, **change}
    return merged


def _check_labels(experiment: Experiment, path: Path) -> None:
    labels = experiment.labels
    doubled = sorted({label for label in labels if labels.count(label) > 1})
    if doubled:
        raise DataError(f"{path}: several variants are called {', '.join(doubled)}")
    named = {v.over for v in experiment.variants if v.over}
    named |= {label for ensemble in experiment.ensembles for label in ensemble.members}
    unknown = sorted(named - {variant.label for variant in experiment.variants})
    if unknown:
        raise DataError(f"{path}: no variant is called {', '.join(unknown)}")

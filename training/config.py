"""Settings of a training run; every one is written into the run folder."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from training.errors import DataError
from training.evaluation import METRICS
from training.registry import strategy_names

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


def _check_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"{name!r} is not measured; choose one of {', '.join(METRICS)}")
    return name


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained.

    Args:
        learning_rate: Step size of Adam.
        learning_rate_decay: Factor applied per 50 epochs, in small steps every epoch.
        batch_size: Training pairs per step.
        num_negatives: Sampled negative items per pair.
        sampling: `pairs` goes through all pairs in random order; `users` draws distinct users
            uniformly and one pair of each (the protocol of MICRO).
        max_epochs: Upper bound on epochs.
        max_seconds: Upper bound on training time; 0 is none.
        eval_every: Epochs between two evaluations on the validation split.
        patience: Evaluations without a better result after which training stops.
        metric: What is compared, computed on the validation split.
        num_threads: Threads of torch; results repeat exactly for equal numbers of threads.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "allow_inf_nan": False}

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    learning_rate_decay: Annotated[float, Field(gt=0)] = 1.0
    batch_size: Count = 2048
    num_negatives: Count = 1
    sampling: Literal["pairs", "users"] = "pairs"
    max_epochs: Count = 500
    max_seconds: Annotated[float, Field(ge=0)] = 0.0
    eval_every: Count = 5
    patience: Count = 8
    metric: Annotated[str, AfterValidator(_check_metric)] = "recall@20"
    num_threads: Count = 2


@dataclass(frozen=True)
class RunConfig:
    """What a run trains on what, completely: with it the run can be repeated.

    Args:
        model: Registry name.
        params: The model's parameters by name; those left out have their defaults.
        seed: Seed of initial values and sampling.
        split_seed: Seed of the split; the members of an ensemble share it.
        split: Name of the split, see `training.data.splits.make_split`.
        modalities: Modalities the model may use; None is all dense ones.
        training: The training settings.
        strategy: Registry name of the training strategy.
        strategy_params: The strategy's parameters by name; those left out have their defaults.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    model: str
    params: dict[str, object] = field(default_factory=dict)
    seed: Seed = 0
    split_seed: Seed = 0
    split: str = "auto"
    modalities: tuple[str, ...] | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)
    strategy: str = "plain"
    strategy_params: dict[str, object] = field(default_factory=dict)


def read_run_config(
    path: Path | None,
    *,
    model: str,
    seed: int,
    split: str | None = None,
    params: Mapping[str, object] | None = None,
    training: Mapping[str, object] | None = None,
    modalities: Sequence[str] | None = None,
    strategy: str | None = None,
    strategy_params: Mapping[str, object] | None = None,
) -> RunConfig:
    """Combine a TOML file of run settings with values given beside it, which win.

    The file has the fields of `RunConfig`: `split`, `modalities`, `strategy`, and the tables
    `params` and `training`. It may hold tables for several models, `[micro.params]`; the one
    called like the model is used then, and none when the model has no table there. A table called
    like a strategy, `[micro.ckd]`, counts when that strategy is used: its `params` are the
    strategy's, its `model` and `training` go before the model's own.

    Raises:
        DataError: The file is missing or not TOML, or a name or value does not fit.
    """
    content: dict[str, object] = {}
    if path is not None:
        try:
            content = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise DataError(f"{path} cannot be read as TOML: {error}") from error
        content = _settings_of(content, model)
    strategy = str(strategy or content.get("strategy", "plain")).lower()
    chosen = _table(content, strategy, {})
    if unknown := sorted(set(chosen) - {"params", "model", "training"}):
        raise DataError(
            f"run settings: {strategy}.{unknown[0]} is unknown; use {strategy}.params, "
            f"{strategy}.model and {strategy}.training"
        )
    values = {
        **{name: value for name, value in content.items() if name not in strategy_names()},
        "model": model.lower(),
        "seed": seed,
        "params": {
            **_table(content, "params", {}),
            **_table(chosen, "model", {}),
            **(params or {}),
        },
        "training": {
            **_table(content, "training", {}),
            **_table(chosen, "training", {}),
            **(training or {}),
        },
        "strategy": strategy,
        "strategy_params": {
            **_table(content, "strategy_params", {}),
            **_table(chosen, "params", {}),
            **(strategy_params or {}),
        },
    }
    if split is not None:
        values["split"] = split
    if modalities:
        values["modalities"] = tuple(modalities)
    return parse_run_config(values)


def parse_run_config(values: object) -> RunConfig:
    """Read run settings from their JSON form.

    Raises:
        DataError: A name or a value does not fit; the message names each.
    """
    try:
        return TypeAdapter(RunConfig).validate_python(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise DataError(f"run settings: {problems}") from error


def _settings_of(content: Mapping[str, object], model: str) -> dict[str, object]:
    """Pick a model's table out of a file for several, or take the file as it is."""
    strategies = set(strategy_names())
    known = {field.name for field in fields(RunConfig)} | strategies
    # A misspelt setting is no table of settings, so it stays and is refused.
    several = not content.keys() & strategies and all(
        isinstance(table, dict) and table.keys() <= known for table in content.values()
    )
    return _table(content, model.lower(), {} if several else dict(content))


def _table(
    content: Mapping[str, object], name: str, default: dict[str, object]
) -> dict[str, object]:
    found = content.get(name, default)
    if not isinstance(found, dict):
        raise DataError(f"run settings: {name} must be a table, got {found!r}")
    return found

"""Settings of a training run; every one is written into the run folder."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import TypeAdapter, ValidationError

from training.errors import DataError


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

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    learning_rate: float = 1e-3
    learning_rate_decay: float = 1.0
    batch_size: int = 2048
    num_negatives: int = 1
    sampling: Literal["pairs", "users"] = "pairs"
    max_epochs: int = 500
    max_seconds: float = 0.0
    eval_every: int = 5
    patience: int = 8
    metric: str = "recall@20"
    num_threads: int = 2


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
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    model: str
    params: dict[str, object] = field(default_factory=dict)
    seed: int = 0
    split_seed: int = 0
    split: str = "auto"
    modalities: tuple[str, ...] | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)


def read_run_config(
    path: Path | None,
    *,
    model: str,
    seed: int,
    split: str | None = None,
    params: Mapping[str, object] | None = None,
    training: Mapping[str, object] | None = None,
) -> RunConfig:
    """Combine a TOML file of run settings with values given beside it, which win.

    The file has the fields of `RunConfig`: `split`, `modalities`, and the tables `params` and
    `training`. It may hold tables for several models, `[micro.params]`; the one called like the
    model is used then.

    Raises:
        DataError: The file is missing or not TOML, or a name or value does not fit.
    """
    content: dict[str, object] = {}
    if path is not None:
        try:
            content = tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise DataError(f"{path} cannot be read as TOML: {error}") from error
        content = _table(content, model, content)
    values = {
        **content,
        "model": model.lower(),
        "seed": seed,
        "params": {**_table(content, "params", {}), **(params or {})},
        "training": {**_table(content, "training", {}), **(training or {})},
    }
    if split is not None:
        values["split"] = split
    try:
        return TypeAdapter(RunConfig).validate_python(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise DataError(f"run settings: {problems}") from error


def _table(
    content: Mapping[str, object], name: str, default: dict[str, object]
) -> dict[str, object]:
    found = content.get(name, default)
    if not isinstance(found, dict):
        raise DataError(f"run settings: {name} must be a table, got {found!r}")
    return found

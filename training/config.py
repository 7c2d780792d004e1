"""Settings of a training run; every one is written into the run folder."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal


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

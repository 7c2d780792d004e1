"""What a training strategy may do around the steps of the one training loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from models.inputs import Batch, Embeddings, Modality
from models.params import Params
from models.recommender import Recommender
from training.data.pairs import Pairs


class Teach(Protocol):
    """Trains teachers."""

    def __call__(
        self, modality: Modality, params: Mapping[str, object], training: Mapping[str, object]
    ) -> Embeddings:
        """Return the vectors of the same model trained on one modality alone.

        Args:
            modality: The only modality it learns from.
            params: Parameters of the model that differ from the run's.
            training: Training settings that differ from the run's.
        """


@dataclass(frozen=True)
class KnownPairs:
    """The pairs a strategy may look at; those of the test split are not among them."""

    train: Pairs
    validation: Pairs


class Strategy:
    """Trains on the model's own loss; a subclass adds to it what makes it a strategy.

    A subclass takes `(model, params, pairs)` and sees the model only through the contract of
    `models.recommender`: `embed`, `components`, `param_groups` and `loss`. The model has its
    device before the strategy is built. Everything random comes from a batch's generator, and
    whatever outlives an epoch is in `state`; so a resumed run repeats an uninterrupted one.

    Args:
        model: The model to train.

    Raises:
        ValueError: The model has fewer modalities than the strategy needs.
    """

    min_modalities: ClassVar[int] = 0
    """Modalities a model must learn from; from 1 on, models without content are refused."""

    def __init__(self, model: Recommender) -> None:
        self.model = model
        found = model.modalities
        if len(found) < self.min_modalities:
            raise ValueError(
                f"{type(self).__name__} balances modalities and needs at least "
                f"{self.min_modalities}; there are: {', '.join(found) or 'none'}; "
                "choose more of them, or the strategy plain"
            )

    def prepare(self, teach: Teach) -> None:
        """Do what comes before the first epoch; `teach` trains teachers or finds them."""

    def start_epoch(self, epoch: int) -> None:
        """Prepare an epoch; the model has been refreshed for it."""

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the named scalar terms whose sum is minimised."""
        return self.model.loss(batch)

    def after_backward(self, batch: Batch) -> None:
        """Change the gradients before the optimizer's step."""

    def end_epoch(self, epoch: int) -> None:
        """Draw conclusions from an epoch; the model has taken its last step."""

    def state(self) -> dict[str, Tensor]:
        """Return what a resumed run needs, on the CPU."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` returned."""


@dataclass(frozen=True)
class PlainParams(Params):
    """`Plain` has no parameters."""


class Plain(Strategy):
    """The model's own loss, nothing else."""

    def __init__(self, model: Recommender, params: PlainParams, pairs: KnownPairs) -> None:  # noqa: ARG002
        super().__init__(model)

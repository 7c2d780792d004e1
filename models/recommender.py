"""The contract every model keeps, so that training, strategies and serving treat it alike."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.features import slot
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep, Modality

Scorer = Callable[[Tensor], Tensor]
"""Maps user rows, int64 [batch], to the scores of all items, float32 [batch, num_items]."""


class Recommender(nn.Module, ABC):
    """A model whose score of a user and an item is the dot product of two vectors.

    A subclass takes `(inputs, params, generator)`: sizes and tensors, its frozen parameter
    dataclass, and the source of its initial values. It never sees files, devices or settings.
    """

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.num_users = inputs.num_users
        self.num_items = inputs.num_items
        self.modalities = inputs.modalities

    @abstractmethod
    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Return the vectors of all users and items; deterministic in evaluation mode.

        Modalities that are not kept are replaced by their mean, a graph derived from them by
        the identity (CKD, section 3.2).
        """

    @abstractmethod
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the named scalar terms whose sum is minimised."""

    def refresh(self, epoch: int, generator: torch.Generator) -> None:
        """Prepare an epoch (edge dropout, rebuilt graphs). Does nothing by default."""

    def components(self, keep: Keep = ALL) -> list[Embeddings]:
        """Return additive parts whose scores sum to the model's; one part by default."""
        return [self.embed(keep)]

    def component_owners(self) -> tuple[Modality | None, ...] | None:
        """Tell which modality each of `components` depends on, None for one that needs none.

        None as a whole, the default, when a component mixes modalities. A model that names
        owners promises that masking a modality changes its own components only.
        """
        return None

    def component_weights(self) -> Tensor | None:
        """Return the buffer of the weights of `components`, for training to choose on validation.

        None, the default, for a model whose components count as they were learned. A score is
        the sum of the components' scores before, each times its weight.
        """
        return None

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """Partition the parameters by modality; what belongs to none is `shared`.

        A parameter belongs to the modality whose `slot` is part of its name.
        """
        owners = {slot(modality): modality for modality in self.modalities}
        groups: dict[str, list[nn.Parameter]] = {"shared": []}
        for name, parameter in self.named_parameters():
            owner = next((owners[part] for part in name.split(".") if part in owners), "shared")
            groups.setdefault(owner, []).append(parameter)
        return groups

    @torch.no_grad()
    def scorer(self) -> Scorer:
        """Return the function that scores all items for given user rows."""
        vectors = self.embed()

        def score(user_rows: Tensor) -> Tensor:
            return vectors.users[user_rows] @ vectors.items.T

        return score

    def item_factors(self) -> Tensor | None:
        """Item vectors whose sum over a user's items is that user's vector, [num_items, D].

        None for models that learn user vectors in another way.
        """
        return None

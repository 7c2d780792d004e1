"""Popularity: every user gets the items that most users chose."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.inputs import ALL, Batch, Embeddings, Inputs, Keep
from models.params import Params
from models.recommender import Recommender


@dataclass(frozen=True)
class PopularityParams(Params):
    """`Popularity` has no parameters."""


class Popularity(Recommender):
    """Score of an item = its number of training interactions, the same for every user."""

    counts: Tensor

    def __init__(
        self,
        inputs: Inputs,
        params: PopularityParams,
        generator: torch.Generator,  # noqa: ARG002  # nothing is random
    ) -> None:
        super().__init__(inputs)
        self.params = params
        counts = torch.bincount(inputs.edge_index[1], minlength=self.num_items)
        self.register_buffer("counts", counts.float(), persistent=False)

    def embed(self, keep: Keep = ALL) -> Embeddings:  # noqa: ARG002  # it has no modalities
        """Return vectors of width 1: ones for users, counts for items."""
        ones = torch.ones(self.num_users, 1, device=self.counts.device)
        return Embeddings(ones, self.counts[:, None])

    def loss(self, batch: Batch) -> dict[str, Tensor]:  # noqa: ARG002  # nothing to minimise
        """Return no terms."""
        return {}

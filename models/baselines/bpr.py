"""Matrix factorisation with the BPR loss."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.inputs import ALL, Batch, Embeddings, Inputs, Keep
from models.losses import bpr, l2
from models.params import Count, Params, Weight, item_table, user_table
from models.recommender import Recommender


@dataclass(frozen=True)
class BPRParams(Params):
    """Parameters of `BPR`.

    Args:
        embedding_dim: Width of the vectors.
        reg_weight: Weight of the squared norms of the batch's vectors.
    """

    embedding_dim: Count = 64
    reg_weight: Weight = 0.1


class BPR(Recommender):
    """Matrix factorisation (BPR-MF) of Rendle et al. 2009, arXiv:1205.2618.

    Score x_ui = w_u . h_i, trained on the pairwise criterion of section 4. No item bias.
    """

    def __init__(self, inputs: Inputs, params: BPRParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        self.params = params
        self.users = user_table(inputs, params.embedding_dim, generator)
        self.items = item_table(inputs, params.embedding_dim, generator)

    def embed(self, keep: Keep = ALL) -> Embeddings:  # noqa: ARG002  # it has no modalities
        """Return both tables; `keep` changes nothing."""
        return Embeddings(self.users, self.items)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr` and `reg`."""
        return {
            "bpr": bpr(self.embed(), batch),
            "reg": self.params.reg_weight * l2((self.users, self.items), batch),
        }

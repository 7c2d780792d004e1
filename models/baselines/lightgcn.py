"""LightGCN: propagation without weights or non-linearities."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.encoders import Encoder
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep
from models.losses import bpr, l2
from models.params import Count, Layers, Params, Part, Weight
from models.recommender import Recommender


@dataclass(frozen=True)
class LightGCNParams(Params):
    """Parameters of `LightGCN`.

    Args:
        embedding_dim: Width of the vectors.
        num_layers: Propagation layers.
        reg_weight: Weight of the squared norms of the batch's ID embeddings.
        edge_share: Part of the training edges used in each epoch, redrawn every epoch.
    """

    embedding_dim: Count = 64
    num_layers: Layers = 2
    reg_weight: Weight = 1e-2
    edge_share: Part = 1.0


class LightGCN(Recommender):
    """LightGCN of He et al. 2020, arXiv:2002.02126.

    E^(l+1) = D^-1/2 A D^-1/2 E^(l) (Eq. 3 and 7), the mean of layers 0..L (Eq. 4 with
    alpha = 1 / (L + 1)), BPR loss with L2 on the ID embeddings of the batch (Eq. 15).
    """

    def __init__(self, inputs: Inputs, params: LightGCNParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        self.params = params
        self.encoder = Encoder(
            inputs,
            "lightgcn",
            params.embedding_dim,
            params.num_layers,
            generator,
            edge_share=params.edge_share,
        )

    def refresh(self, epoch: int, generator: torch.Generator) -> None:  # noqa: ARG002
        """Draw the edges of the epoch."""
        self.encoder.refresh(generator)

    def embed(self, keep: Keep = ALL) -> Embeddings:  # noqa: ARG002  # it has no modalities
        """Return the layer means; `keep` changes nothing."""
        vectors: Embeddings = self.encoder()
        return vectors

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr` and `reg`."""
        tables = (self.encoder.users, self.encoder.items)
        return {
            "bpr": bpr(self.embed(), batch),
            "reg": self.params.reg_weight * l2(tables, batch),
        }

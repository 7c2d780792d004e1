"""NGCF: propagation with weights, interaction terms and non-linearities."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.encoders import Encoder
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep
from models.losses import batch_rows, bpr, l2
from models.params import Count, Layers, Params, Part, Weight
from models.recommender import Recommender


@dataclass(frozen=True)
class NGCFParams(Params):
    """Parameters of `NGCF`.

    Args:
        embedding_dim: Width of one layer; vectors are `num_layers` + 1 times as wide.
        num_layers: Propagation layers L.
        reg_weight: Weight of the squared norms of the batch's ID embeddings.
        edge_share: Part of the training edges used in each epoch, redrawn every epoch.
    """

    embedding_dim: Count = 64
    num_layers: Layers = 2
    reg_weight: Weight = 1e-2
    edge_share: Part = 1.0


class NGCF(Recommender):
    """NGCF of Wang et al. 2019, arXiv:1905.08108.

    E^(l) = LeakyReLU((A + I) E^(l-1) W1 + (A E^(l-1) * E^(l-1)) W2) with the symmetrically
    normalised A (Eq. 7-8), the concatenation of layers 0..L (Eq. 9), each L2-normalised as the
    authors' code has it, and BPR (Eq. 11).

    Deviates from Eq. 11: L2 on the ID embeddings of the batch only, not on W1 and W2. Node and
    message dropout (section 2.4.2) are replaced by dropping whole edges per epoch, `edge_share`.
    """

    def __init__(self, inputs: Inputs, params: NGCFParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        self.params = params
        self.encoder = Encoder(
            inputs,
            "ngcf",
            params.embedding_dim,
            params.num_layers,
            generator,
            edge_share=params.edge_share,
        )

    def refresh(self, epoch: int, generator: torch.Generator) -> None:  # noqa: ARG002
        """Draw the edges of the epoch."""
        self.encoder.refresh(generator)

    def embed(self, keep: Keep = ALL) -> Embeddings:  # noqa: ARG002  # it has no modalities
        """Return the layers side by side; `keep` changes nothing."""
        return self.encoder.split(torch.cat(self.encoder.layers(), dim=-1))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr` and `reg`."""
        numbers = torch.arange(self.num_users + self.num_items, device=batch.users.device)
        nodes, rows = batch_rows(self.encoder.split(numbers), batch)
        layers = self.encoder.layers(rows=torch.cat([nodes.users, nodes.items]))
        users, items = torch.cat(layers, dim=-1).tensor_split([len(nodes.users)])
        tables = (self.encoder.users, self.encoder.items)
        return {
            "bpr": bpr(Embeddings(users, items), rows),
            "reg": self.params.reg_weight * l2(tables, batch),
        }

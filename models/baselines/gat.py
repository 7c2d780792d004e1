"""GAT: ID embeddings propagated by graph attention."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.attention import Design, LayerSum, Networks
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep
from models.losses import bpr, l2
from models.params import Count, Layers, Params, Part, Weight, item_table, user_table
from models.recommender import Recommender


@dataclass(frozen=True)
class GATParams(Params):
    """Parameters of `GAT`.

    Args:
        embedding_dim: Width of the vectors.
        num_layers: Attention layers L.
        layer_sum: Final vectors are the `mean` of layers 0..L or the `last` layer.
        self_loops: A node attends to itself too, as the paper defines its neighbourhood.
        last_activation: LeakyReLU also after the last layer, not just between layers.
        scaled: Messages are multiplied by sqrt(deg(v) / deg(j)), so that even attention is the
            normalisation of LightGCN instead of a mean.
        identity: The matrices W start as the identity, else Xavier-uniform.
        edge_share: Part of the training edges used in each epoch, redrawn every epoch.
        reg_weight: Weight of the squared norms of the batch's ID embeddings.
    """

    embedding_dim: Count = 64
    num_layers: Layers = 2
    layer_sum: LayerSum = "mean"
    self_loops: bool = True
    last_activation: bool = False
    scaled: bool = False
    identity: bool = True
    edge_share: Part = 1.0
    reg_weight: Weight = 1e-2


class GAT(Recommender):
    """GAT of Velickovic et al. 2018, arXiv:1710.10903, on the graph of users and items.

    ID embeddings, attention layers with one head (Eq. 1-4), BPR loss with L2 on the ID
    embeddings of the batch: the baseline of GNNMR. Deviates in that the layers are averaged, W
    starts as the identity and the last layer has no LeakyReLU; each has its switch.
    """

    def __init__(self, inputs: Inputs, params: GATParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        self.params = params
        self.users = user_table(inputs, params.embedding_dim, generator)
        self.items = item_table(inputs, params.embedding_dim, generator)
        design = Design(
            num_layers=params.num_layers,
            layer_sum=params.layer_sum,
            self_loops=params.self_loops,
            last_activation=params.last_activation,
            scaled=params.scaled,
            identity=params.identity,
            edge_share=params.edge_share,
        )
        self.networks = Networks(inputs, ["ids"], params.embedding_dim, design, generator)

    def refresh(self, epoch: int, generator: torch.Generator) -> None:  # noqa: ARG002
        """Draw the edges of the epoch."""
        self.networks.refresh(generator)

    def embed(self, keep: Keep = ALL) -> Embeddings:  # noqa: ARG002  # it has no modalities
        """Return the attended vectors; `keep` changes nothing."""
        nodes: Tensor = self.networks(torch.cat([self.users, self.items])[None])[0]
        users, items = nodes.split([self.num_users, self.num_items])  # type: ignore[no-untyped-call]  # untyped in torch
        return Embeddings(users, items)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr` and `reg`."""
        return {
            "bpr": bpr(self.embed(), batch),
            "reg": self.params.reg_weight * l2((self.users, self.items), batch),
        }

"""MMGCN: one graph network per modality, all of them on the user-item graph."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, normalize

from models.features import Projection, mean_ablated, projections, slot
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep, Modality
from models.losses import bpr, distinct_rows, l2
from models.params import Count, Params, Part, Weight, item_table, user_table, xavier
from models.recommender import Recommender
from models.sparse import SparseMatrix, random_walk_adjacency, sample_edges


@dataclass(frozen=True)
class MMGCNParams(Params):
    """Parameters of `MMGCN`.

    Args:
        embedding_dim: Width of all vectors, those of the modalities included.
        num_layers: Layers of every network.
        reg_weight: Weight of the squared norms of the batch's ID embeddings and preferences.
        edge_share: Part of the training edges used in each epoch, redrawn every epoch.
    """

    embedding_dim: Count = 64
    num_layers: Count = 2
    reg_weight: Weight = 1e-2
    edge_share: Part = 1.0


class _Layer(nn.Module):
    """Eq. 1, 5 and 7 of one network: h, x^ and their combination."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        square = (width, width)
        self.neighbour, self.own, self.combine = (
            nn.Parameter(xavier(square, generator)) for _ in range(3)
        )
        self.own_bias, self.bias = (nn.Parameter(torch.zeros(width)) for _ in range(2))

    def forward(self, around: Tensor, hidden: Tensor, identity: Tensor) -> Tensor:
        """Map the neighbours' mean, the own vector and the ID, [rows, width] each."""
        message = leaky_relu(around @ self.neighbour)
        own = leaky_relu(torch.addmm(self.own_bias, hidden, self.own)) + identity
        return leaky_relu(torch.addmm(self.bias, message, self.combine) + own)


class MMGCN(Recommender):
    """MMGCN of Wei et al. 2019 (ACM Multimedia), for any number of modalities.

    Per modality a network over the user-item graph, that starts from a table of preferences for
    users and from projected features for items, both normalised. A layer takes the mean of the
    neighbours, h = LeakyReLU(mean(x) W1) (Eq. 1-2), joins the own vector with the ID embedding,
    x^ = LeakyReLU(x W2 + b2) + id (Eq. 5), and combines, x = LeakyReLU(h W3 + b3 + x^) (Eq. 7,
    element-wise). Users and items are the mean of the networks' last layers; trained with BPR.

    Deviations: preferences and ID embeddings are trained, which the authors' code leaves out;
    every modality is projected to `embedding_dim`, the paper keeps some wider; the mean over
    modalities where Eq. 8 has the sum, which scores alike but for the scale.

    Raises:
        ValueError: The inputs hold no modality, or one without features.
    """

    edge_index: Tensor

    def __init__(self, inputs: Inputs, params: MMGCNParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError("MMGCN needs at least one modality with features")
        self.params = params
        dim = params.embedding_dim
        self.users = user_table(inputs, dim, generator)
        self.items = item_table(inputs, dim, generator)
        self.preferences = nn.ParameterDict(
            {slot(modality): user_table(inputs, dim, generator) for modality in self.modalities}
        )
        self.projections = projections(inputs, dim, generator)
        self.layers = nn.ModuleDict(
            {
                slot(modality): nn.ModuleList(
                    _Layer(dim, generator) for _ in range(params.num_layers)
                )
                for modality in self.modalities
            }
        )
        self.register_buffer("edge_index", inputs.edge_index, persistent=False)
        self.full = self._adjacency(inputs.edge_index)
        self.pruned: SparseMatrix | None = None

    def _adjacency(self, edge_index: Tensor) -> SparseMatrix:
        return random_walk_adjacency(edge_index, self.num_users, self.num_items, self_loops=False)

    def refresh(self, epoch: int, generator: torch.Generator) -> None:  # noqa: ARG002
        """Draw the edges of the epoch; without effect when every edge is used."""
        if self.params.edge_share < 1.0:
            edges = sample_edges(self.edge_index, self.params.edge_share, generator)
            self.pruned = self._adjacency(edges)

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Return the mean of the networks' last layers."""
        nodes = self._nodes(keep, None)
        return Embeddings(nodes[: self.num_users], nodes[self.num_users :])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr` and `reg`."""
        users, items, places = distinct_rows(batch)
        nodes = self._nodes(ALL, torch.cat([users, self.num_users + items]))
        vectors = Embeddings(nodes[: len(users)], nodes[len(users) :])
        return {
            "bpr": bpr(vectors, places),
            "reg": self.params.reg_weight * self._penalty(batch),
        }

    def _nodes(self, keep: Keep, rows: Tensor | None) -> Tensor:
        """Mean of the last layers, [num_nodes, dim], or of the wanted rows only, [rows, dim]."""
        adjacency = self.pruned if self.training and self.pruned is not None else self.full
        identity = torch.cat([self.users, self.items])
        hidden = [self._initial(modality, keep) for modality in self.modalities]
        for depth in range(self.params.num_layers):
            around = adjacency(torch.cat(hidden, dim=-1))
            if rows is not None and depth + 1 == self.params.num_layers:
                around, identity, *hidden = (
                    part.index_select(0, rows) for part in (around, identity, *hidden)
                )
            parts = around.split(self.params.embedding_dim, dim=-1)
            hidden = [
                self._layer(modality, depth)(part, own, identity)
                for modality, part, own in zip(self.modalities, parts, hidden, strict=True)
            ]
        return torch.stack(hidden).mean(0)

    def _initial(self, modality: Modality, keep: Keep) -> Tensor:
        projection = self.projections[slot(modality)]
        assert isinstance(projection, Projection)
        preference: Tensor = self.preferences[slot(modality)]
        users = mean_ablated(preference, modality, keep)
        return normalize(torch.cat([users, projection(keep)]), dim=-1)

    def _layer(self, modality: Modality, depth: int) -> nn.Module:
        layers = self.layers[slot(modality)]
        assert isinstance(layers, nn.ModuleList)
        return layers[depth]

    def _penalty(self, batch: Batch) -> Tensor:
        """Half the squared norms of the batch's trained rows, by the size of the batch."""
        preferences = [
            table.index_select(0, batch.users).square().sum() for table in self.preferences.values()
        ]
        return l2((self.users, self.items), batch) + torch.stack(preferences).sum() / (
            2 * len(batch.users)
        )

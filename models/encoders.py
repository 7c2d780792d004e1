"""Collaborative encoders: they turn ID tables and the interaction graph into vectors."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, normalize

from models.inputs import Embeddings, Inputs
from models.params import item_table, user_table, xavier
from models.sparse import (
    SparseMatrix,
    random_walk_adjacency,
    sample_edges,
    symmetric_adjacency,
)

Backbone = Literal["mf", "ngcf", "lightgcn"]
Adjacency = Literal["symmetric", "random_walk"]

_ADJACENCIES: dict[str, Callable[[Tensor, int, int], SparseMatrix]] = {
    "symmetric": symmetric_adjacency,
    "random_walk": random_walk_adjacency,
}


class Encoder(nn.Module):
    """ID embeddings of users and items, propagated over the interaction graph.

    * `mf`: the tables as they are.
    * `lightgcn`: E^(l+1) = A E^(l), mean of layers 0..L (He et al. 2020, Eq. 3-4).
    * `ngcf`: E^(l+1) = LeakyReLU((A + I) E W1 + (A E * E) W2) (Wang et al. 2019, Eq. 7). A layer
      is L2-normalised where it is read, not where it feeds the next, as in the authors' code.
      Deviates: the mean of the layers, as MICRO's code embeds it, where NGCF concatenates them;
      so all backbones give vectors of one width. `layers` has them apart.

    Args:
        inputs: Sizes and training pairs.
        backbone: One of the three above.
        embedding_dim: Width of the vectors.
        num_layers: Number of propagation layers L.
        generator: Source of the initial values.
        adjacency: Normalisation of A.
        edge_share: Share of the edges an epoch trains on; `refresh` draws them. Evaluation
            always uses all of them.
    """

    edge_index: Tensor

    def __init__(
        self,
        inputs: Inputs,
        backbone: Backbone,
        embedding_dim: int,
        num_layers: int,
        generator: torch.Generator,
        *,
        adjacency: Adjacency = "symmetric",
        edge_share: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0.0 < edge_share <= 1.0:
            raise ValueError(f"edge_share must be above 0 and at most 1, got {edge_share}")
        self.backbone = backbone
        self.num_layers = num_layers if backbone != "mf" else 0
        self.adjacency = adjacency
        self.edge_share = edge_share
        self.sizes = (inputs.num_users, inputs.num_items)
        self.users = user_table(inputs, embedding_dim, generator)
        self.items = item_table(inputs, embedding_dim, generator)
        if backbone == "ngcf":
            square = (embedding_dim, embedding_dim)
            self.sums, self.products = (
                nn.ParameterList(xavier(square, generator) for _ in range(num_layers))
                for _ in range(2)
            )
        if self.num_layers:
            self.register_buffer("edge_index", inputs.edge_index, persistent=False)
            self.full = _ADJACENCIES[adjacency](inputs.edge_index, *self.sizes)
            self.pruned: SparseMatrix | None = None

    def refresh(self, generator: torch.Generator) -> None:
        """Draw this epoch's edges; without effect when every edge is used."""
        if self.num_layers and self.edge_share < 1.0:
            edges = sample_edges(self.edge_index, self.edge_share, generator)
            self.pruned = _ADJACENCIES[self.adjacency](edges, *self.sizes)

    def forward(
        self,
        users: Tensor | None = None,
        items: Tensor | None = None,
        adjacency: SparseMatrix | None = None,
    ) -> Embeddings:
        """Propagate and take the mean of the layers.

        Args:
            users: Replaces the encoder's own user table.
            items: Replaces the encoder's own item table.
            adjacency: Replaces the graph, [N, N] with N = users + items.
        """
        if not self.num_layers:
            return Embeddings(
                self.users if users is None else users, self.items if items is None else items
            )
        total, *others = self.layers(users, items, adjacency)
        for layer in others:
            total = total + layer
        return self.split(total / (self.num_layers + 1))

    def layers(
        self,
        users: Tensor | None = None,
        items: Tensor | None = None,
        adjacency: SparseMatrix | None = None,
        *,
        rows: Tensor | None = None,
    ) -> list[Tensor]:
        """Return layers 0..L, each [users + items, embedding_dim]; arguments as for `forward`.

        With `rows`, int64 [n], only those rows of every layer, [n, embedding_dim].
        """
        layer = torch.cat(
            [self.users if users is None else users, self.items if items is None else items]
        )
        if self.num_layers and adjacency is None:
            pruned = self.training and self.pruned is not None
            adjacency = self.pruned if pruned else self.full
        found = [layer if rows is None else layer.index_select(0, rows)]
        for depth in range(self.num_layers):
            assert adjacency is not None
            around: Tensor = adjacency(layer)
            if rows is not None and depth + 1 == self.num_layers:
                around, layer = around.index_select(0, rows), layer.index_select(0, rows)
                rows = None
            layer = self._mixed(around, layer, depth)
            read = layer if rows is None else layer.index_select(0, rows)
            found.append(read if self.backbone == "lightgcn" else normalize(read, dim=-1))
        return found

    def _mixed(self, around: Tensor, layer: Tensor, depth: int) -> Tensor:
        if self.backbone == "lightgcn":
            return around
        product = (around * layer) @ self.products[depth]
        return leaky_relu((around + layer) @ self.sums[depth] + product, 0.2)

    def split(self, nodes: Tensor) -> Embeddings:
        """Take [users + items, width] apart."""
        users, items = nodes.split(self.sizes)  # type: ignore[no-untyped-call]  # untyped in torch
        return Embeddings(users, items)

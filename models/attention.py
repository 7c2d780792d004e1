"""Graph attention on the interaction graph, for any number of disjoint networks side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from models.edge_graph import EdgeGraph
from models.inputs import Inputs
from models.params import xavier
from models.sparse import SparseMatrix, powers, sample_edges, symmetric_adjacency

Kind = Literal["gat", "lightgcn"]
LayerSum = Literal["mean", "last"]

SLOPE: Final = 0.2
"""Negative slope of every LeakyReLU, as in GAT."""


class AttentionLayer(nn.Module):
    """Parameters of one graph attention layer with one head: W and a = [a1; a2].

    Args:
        width: Width of the vectors that come in and go out.
        generator: Source of the initial values; a is Xavier-uniform.
        identity: W starts as the identity, so that all layers start in one space and their mean
            is one of like things; else it starts Xavier-uniform.
    """

    def __init__(self, width: int, generator: torch.Generator, *, identity: bool) -> None:
        super().__init__()
        weight = torch.eye(width) if identity else xavier((width, width), generator)
        self.weight = nn.Parameter(weight)
        self.ends = nn.Parameter(xavier((2, width), generator))


class AttentionGraph(EdgeGraph):
    """The interactions in both directions over users then items, one copy per network.

    Args:
        edge_index: Pairs (user_row, item_row), int64 [2, num_edges].
        num_users: Number of users, nodes 0 to num_users - 1 of a network.
        num_items: Number of items, the nodes after them.
        networks: Number of copies, side by side.
        self_loops: Every node is its own neighbour too.
        scaled: Messages from j to v are multiplied by sqrt(deg(v) / deg(j)). Even attention is
            then D^-1/2 A D^-1/2 instead of a mean, and vectors of popular items are longer.
    """

    scale: Tensor | None

    def __init__(
        self,
        edge_index: Tensor,
        num_users: int,
        num_items: int,
        *,
        networks: int = 1,
        self_loops: bool = True,
        scaled: bool = False,
    ) -> None:
        users, items = edge_index[0], edge_index[1] + num_users
        num_nodes = num_users + num_items
        loops = torch.arange(num_nodes if self_loops else 0, device=edge_index.device)
        sources, targets = torch.cat([users, items, loops]), torch.cat([items, users, loops])
        shift = num_nodes * torch.arange(networks, device=edge_index.device)[:, None]
        total = networks * num_nodes
        super().__init__((sources + shift).flatten(), (targets + shift).flatten(), total, total)
        degrees = self.offsets.diff()
        scale = (degrees[self.targets] / degrees[self.sources]).sqrt() if scaled else None
        self.register_buffer("scale", scale, persistent=False)


def attend(graph: AttentionGraph, layers: Sequence[AttentionLayer], hidden: Tensor) -> Tensor:
    """Aggregate neighbours by attention (Velickovic et al. 2018, Eq. 1-4, before the sigma).

    With z = W h an edge from j to v has the logit LeakyReLU(a1 z_v + a2 z_j); a softmax over the
    neighbours of v makes them weights of sum_j alpha_vj z_j. The logits come from two scalars
    per node, so that memory is O(edges), not O(edges * width).

    Args:
        graph: The edges of all networks.
        layers: The layer of every network.
        hidden: Vectors of the nodes, float32 [networks, num_nodes, width].

    Returns:
        float32 [networks, num_nodes, width]; a node without neighbours gets 0.
    """
    weights = torch.stack([layer.weight for layer in layers])  # [networks, width, width]
    ends = torch.stack([layer.ends for layer in layers])  # [networks, 2, width]
    mapped = torch.bmm(hidden, weights.mT)
    at_target, at_source = torch.bmm(ends, mapped.mT).unbind(1)  # [networks, num_nodes] each
    logits = at_target.flatten().index_select(0, graph.targets)
    logits = logits + at_source.flatten().index_select(0, graph.sources)
    alpha = graph.softmax(leaky_relu(logits, SLOPE))
    if graph.scale is not None:
        alpha = alpha * graph.scale
    summed: Tensor = graph(alpha, mapped.flatten(0, 1))
    return summed.view_as(mapped)


@dataclass(frozen=True)
class Design:
    """How `Networks` propagate.

    Args:
        kind: `gat` attends; `lightgcn` multiplies with D^-1/2 A D^-1/2 and has no parameters
            (He et al. 2020), and then only `num_layers` and `edge_share` matter.
        num_layers: Layers L.
        layer_sum: The result is the mean of layers 0..L or layer L.
        self_loops: A node is its own neighbour, as GAT defines N(v).
        last_activation: LeakyReLU also after the last layer, not just between layers.
        scaled: Messages are scaled by the degrees of their ends, see `AttentionGraph`.
        identity: The matrices W start as the identity.
        edge_share: Part of the interactions an epoch propagates over, redrawn every epoch.
    """

    kind: Kind = "gat"
    num_layers: int = 2
    layer_sum: LayerSum = "mean"
    self_loops: bool = True
    last_activation: bool = False
    scaled: bool = False
    identity: bool = True
    edge_share: float = 1.0


class Networks(nn.Module):
    """Graph neural networks with no parameter in common, on the same interactions.

    All of them are computed at once: a step costs one pass over a block-diagonal graph
    (`gat`) or one product with wide rows (`lightgcn`).

    Args:
        inputs: Sizes and training pairs.
        names: Name of every network, under which its parameters are held.
        width: Width of all vectors.
        design: How they propagate.
        generator: Source of the initial values.
    """

    edge_index: Tensor

    def __init__(
        self,
        inputs: Inputs,
        names: Sequence[str],
        width: int,
        design: Design,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.design = design
        self.count = len(names)
        self.sizes = (inputs.num_users, inputs.num_items)
        self.register_buffer("edge_index", inputs.edge_index, persistent=False)
        self.layers = nn.ModuleDict()
        if design.kind == "gat":
            for name in names:
                self.layers[name] = nn.ModuleList(
                    AttentionLayer(width, generator, identity=design.identity)
                    for _ in range(design.num_layers)
                )
        self.full = self._graph(inputs.edge_index)
        self.pruned: AttentionGraph | SparseMatrix | None = None

    def _graph(self, edge_index: Tensor) -> AttentionGraph | SparseMatrix:
        if self.design.kind == "lightgcn":
            return symmetric_adjacency(edge_index, *self.sizes)
        return AttentionGraph(
            edge_index,
            *self.sizes,
            networks=self.count,
            self_loops=self.design.self_loops,
            scaled=self.design.scaled,
        )

    def refresh(self, generator: torch.Generator) -> None:
        """Draw this epoch's interactions; without effect when every one is used."""
        if self.design.edge_share < 1.0:
            share = self.design.edge_share
            self.pruned = self._graph(sample_edges(self.edge_index, share, generator))

    def forward(self, hidden: Tensor, rows: Tensor | None = None) -> Tensor:
        """Propagate layer 0, float32 [networks, num_users + num_items, width].

        With `rows`, int64 [n], only those nodes are returned: [networks, n, width].
        """
        graph = self.pruned if self.training and self.pruned is not None else self.full
        if isinstance(graph, SparseMatrix):
            wide = hidden.transpose(0, 1).flatten(1)  # [num_nodes, networks * width]
            layers = [
                layer.view(len(layer), self.count, -1).transpose(0, 1)
                for layer in powers(graph, wide, self.design.num_layers)
            ]
        else:
            layers = [hidden]
            for depth in range(self.design.num_layers):
                layers.append(self._attend(graph, layers[-1], depth))
        if self.design.layer_sum == "last":
            layers = layers[-1:]
        if rows is None:
            return torch.stack(layers).mean(0)
        if len(rows) > hidden.shape[1]:  # The mean of all nodes is smaller than the rows' layers.
            return torch.stack(layers).mean(0).index_select(1, rows)
        return torch.stack([layer.index_select(1, rows) for layer in layers]).mean(0)

    def _attend(self, graph: AttentionGraph, hidden: Tensor, depth: int) -> Tensor:
        attended = attend(graph, self._at(depth), hidden)
        if depth + 1 < self.design.num_layers or self.design.last_activation:
            return leaky_relu(attended, SLOPE)
        return attended

    def _at(self, depth: int) -> list[AttentionLayer]:
        stacks = self.layers.values()
        return [stack[depth] for stack in stacks]  # type: ignore[index]  # each is a ModuleList

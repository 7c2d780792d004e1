"""EgoGCN: modality networks that mix the modalities of a neighbour, edge by edge."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from models.baselines.vbpr import side_by_side
from models.edge_graph import EdgeGraph
from models.encoders import Encoder
from models.features import Projection, mean_ablated, projections, slot
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep, Modality
from models.losses import bpr, distinct_rows, l2
from models.params import Count, Layers, Params, Part, Share, Weight, user_table, xavier
from models.recommender import Recommender
from models.sparse import sample_edges


@dataclass(frozen=True)
class EgoGCNParams(Params):
    """Parameters of `EgoGCN`.

    Args:
        embedding_dim: Width of the ID vectors and of those of each modality.
        num_layers: Layers of the ID network.
        num_routings: Rounds of attention after the modalities were mixed.
        modulation: `soft` gates what a neighbour's other modalities add to its message; `hard`
            sends the mean of its modalities over edges of high attention, else its own.
        threshold: Attention above which `hard` mixes.
        reg_weight: Weight of the squared norms of the batch's ID embeddings and preferences.
        edge_share: Part of the training edges used in each epoch, redrawn every epoch.
    """

    embedding_dim: Count = 64
    num_layers: Layers = 2
    num_routings: Layers = 1
    modulation: Literal["soft", "hard"] = "soft"
    threshold: Share = 0.4
    reg_weight: Weight = 1e-2
    edge_share: Part = 1.0


class _Gate(nn.Module):
    """z + sigma(x W + b) * x: what one modality lets through is added to another."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(xavier((width, width), generator))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, vectors: Tensor, total: Tensor) -> Tensor:
        opened = torch.sigmoid(torch.addmm(self.bias, vectors, self.weight))
        return torch.addcmul(total, opened, vectors)


class EgoGCN(Recommender):
    """EgoGCN of Chen et al. 2022, for any number of modalities.

    The paper is "Breaking Isolation: Multimodal Graph Fusion for Multimedia Recommendation by
    Edge-wise Modulation" (ACM Multimedia), doi:10.1145/3503161.3548399; what is built here
    follows the behaviour of the authors' released code. Per modality m users start
    from a preference and items from projected features, x^m, normalised. In one round of fusion
    a neighbour j sends node v the message

    * soft: y_j = (x_j^m + sum_{c != m} sigma(W^{m,c} x_j^c + b^{m,c}) * x_j^c) / M,
    * hard: the mean of x_j over the modalities if the attention softmax_j(x_v^m . x_j^m) is
      above `threshold`, else x_j^m;

    v adds the messages weighted by softmax_j(x_v^m . y_j). Rounds of routing add the neighbours
    weighted by softmax_j(x_v^m . x_j^m). After each round vectors are normalised. Beside them
    LightGCN propagates IDs. All are concatenated, so that their scores add up; trained with BPR.

    Deviations: v keeps its own vector in the fusion too, which the code drops, since a node
    without neighbours would have nothing else; the ID network is `Encoder`'s, where the code
    normalises the embeddings first and counts the second layer twice.

    Raises:
        ValueError: The inputs hold no modality, or one without features.
    """

    edge_index: Tensor

    def __init__(self, inputs: Inputs, params: EgoGCNParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError("EgoGCN needs at least one modality with features")
        self.params = params
        dim = params.embedding_dim
        self.encoder = Encoder(
            inputs, "lightgcn", dim, params.num_layers, generator, edge_share=params.edge_share
        )
        self.preferences = nn.ParameterDict(
            {slot(modality): user_table(inputs, dim, generator) for modality in self.modalities}
        )
        self.projections = projections(inputs, dim, generator)
        self.gates = nn.ModuleDict()
        if params.modulation == "soft":
            for modality in self.modalities:
                others = [other for other in self.modalities if other != modality]
                self.gates[slot(modality)] = nn.ModuleDict(
                    {f"from_{other}": _Gate(dim, generator) for other in others}
                )
        self.register_buffer("edge_index", inputs.edge_index, persistent=False)
        self.full = self._graph(inputs.edge_index)
        self.pruned: EdgeGraph | None = None

    def _graph(self, edge_index: Tensor) -> EdgeGraph:
        """Both directions of every interaction, in one disjoint copy per modality."""
        users, items = edge_index[0], edge_index[1] + self.num_users
        num_nodes = self.num_users + self.num_items
        count = len(self.modalities)
        shift = num_nodes * torch.arange(count, device=edge_index.device)[:, None]
        sources, targets = torch.cat([users, items]), torch.cat([items, users])
        return EdgeGraph(
            (sources + shift).flatten(),
            (targets + shift).flatten(),
            count * num_nodes,
            count * num_nodes,
        )

    def refresh(self, epoch: int, generator: torch.Generator) -> None:  # noqa: ARG002
        """Draw the edges of the epoch; without effect when every edge is used."""
        self.encoder.refresh(generator)
        if self.params.edge_share < 1.0:
            edges = sample_edges(self.edge_index, self.params.edge_share, generator)
            self.pruned = self._graph(edges)

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Return ID vectors and those of every modality, [rows, dim * (1 + modalities)]."""
        return side_by_side(self._parts(keep))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr` and `reg`."""
        users, items, places = distinct_rows(batch)
        return {
            "bpr": bpr(side_by_side(self._parts_of(users, items)), places),
            "reg": self.params.reg_weight * self._penalty(batch),
        }

    def _parts(self, keep: Keep) -> list[Embeddings]:
        """The ID vectors and those of every modality."""
        _, hidden = self._routed(keep, self.params.num_routings)
        return _apart(self.encoder(), hidden)

    def _parts_of(self, users: Tensor, items: Tensor) -> list[Embeddings]:
        """The same of these users and items; the last round of routing is for them only."""
        graph, hidden = self._routed(ALL, self.params.num_routings - 1)
        nodes = torch.cat([users, items + self.num_users])
        chosen = hidden.index_select(1, nodes)
        if self.params.num_routings:
            copies = torch.arange(len(hidden), device=nodes.device)[:, None]
            ends = graph.ending_in((nodes + hidden.shape[1] * copies).flatten())
            chosen = _unit(chosen + _attend(ends, chosen, hidden))
        identity = self.encoder()
        rows = Embeddings(
            identity.users.index_select(0, users), identity.items.index_select(0, items)
        )
        return _apart(rows, chosen)

    def _routed(self, keep: Keep, rounds: int) -> tuple[EdgeGraph, Tensor]:
        """Fuse and route so many times: the graph and [modalities, num_nodes, dim]."""
        graph = self.pruned if self.training and self.pruned is not None else self.full
        hidden = torch.stack([self._initial(modality, keep) for modality in self.modalities])
        hidden = self._fuse(hidden, graph)
        for _ in range(rounds):
            hidden = _unit(hidden + _attend(graph, hidden, hidden))
        return graph, hidden

    def _initial(self, modality: Modality, keep: Keep) -> Tensor:
        projection = self.projections[slot(modality)]
        assert isinstance(projection, Projection)
        preference: Tensor = self.preferences[slot(modality)]
        users = mean_ablated(preference, modality, keep)
        return _unit(torch.cat([users, leaky_relu(projection(keep))]))

    def _fuse(self, hidden: Tensor, graph: EdgeGraph) -> Tensor:
        """Mix the modalities: [modalities, num_nodes, dim] to the same."""
        if self.params.modulation == "hard":
            return _unit(hidden + _attend_mixed(graph, hidden, self.params.threshold))
        share = 1 / len(self.modalities)
        received = _attend(graph, hidden, self._gated(hidden), share)
        return _unit(torch.add(hidden, received, alpha=share))

    def _gated(self, hidden: Tensor) -> Tensor:
        """The messages of the soft modulation, M y_j: sums instead of means."""
        nodes = dict(zip(self.modalities, hidden, strict=True))
        messages = []
        for modality, total in nodes.items():
            gates = self.gates[slot(modality)]
            assert isinstance(gates, nn.ModuleDict)
            for other, vectors in nodes.items():
                if other != modality:
                    total = gates[f"from_{other}"](vectors, total)
            messages.append(total)
        return torch.stack(messages)

    def _penalty(self, batch: Batch) -> Tensor:
        """Half the squared norms of the batch's trained rows, by the size of the batch."""
        preferences = [
            table.index_select(0, batch.users).square().sum() for table in self.preferences.values()
        ]
        identity = l2((self.encoder.users, self.encoder.items), batch)
        return identity + torch.stack(preferences).sum() / (2 * len(batch.users))


def _apart(identity: Embeddings, hidden: Tensor) -> list[Embeddings]:
    """The parts, split into users and items; `hidden` is [modalities, users + items, dim]."""
    sizes = [len(identity.users), len(identity.items)]
    return [identity, *(Embeddings(*nodes.split(sizes)) for nodes in hidden)]


def _attend(graph: EdgeGraph, targets: Tensor, messages: Tensor, scale: float = 1.0) -> Tensor:
    """Sum messages by softmax of their scaled products with the target, as `targets` in shape."""
    flat, sent = targets.flatten(0, 1), messages.flatten(0, 1)
    summed: Tensor = graph(graph.softmax(scale * graph.products(flat, sent)), sent)
    return summed.view_as(targets)


def _attend_mixed(graph: EdgeGraph, hidden: Tensor, threshold: float) -> Tensor:
    """The same with the messages of the hard modulation; which edges mix gets no gradient."""
    own, mixed = hidden.flatten(0, 1), hidden.mean(0, keepdim=True).expand_as(hidden).flatten(0, 1)
    alone = graph.products(own, own)
    mixes = graph.softmax(alone) > threshold
    attention = graph.softmax(torch.where(mixes, graph.products(own, mixed), alone))
    summed: Tensor = graph(attention * mixes, mixed) + graph(attention * ~mixes, own)
    return summed.view_as(hidden)


def _unit(vectors: Tensor) -> Tensor:
    """Divide by the norm; a product with its inverse has the cheaper gradient of the two."""
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors * norms.clamp_min(1e-12).reciprocal()

"""Item-item graphs of one modality: from the published neighbours, and learned ones."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.edge_graph import EdgeGraph
from models.features import slot
from models.inputs import ALL, Categories, Inputs, Keep, Modality, Neighbours, kept
from models.params import xavier
from models.sparse import SparseMatrix


def knn(features: Tensor, k: int, *, block_rows: int = 2048) -> Neighbours:
    """Find the k nearest items of every item by cosine, itself included (MICRO, Eq. 1-2).

    Args:
        features: Item features, float32 [num_items, width]; a zero row is similar to nothing.
        k: Neighbours per item; at most num_items are returned.
        block_rows: Rows compared at a time; memory is block_rows * num_items floats.
    """
    unit = normalize(features, dim=-1)
    found = [
        torch.topk(unit[start : start + block_rows] @ unit.T, min(k, len(unit)), dim=-1)
        for start in range(0, len(unit), block_rows)
    ]
    return Neighbours(torch.cat([f.indices for f in found]), torch.cat([f.values for f in found]))


def category_knn(
    categories: Mapping[Modality, Categories], modality: Modality, k: int, *, block_rows: int = 2048
) -> Neighbours:
    """Find k items of the same category, first those that share most of the other columns.

    The similarity is the share of all columns in which two items agree, 0 outside the category.
    Among equals a fixed random order decides, so that no item becomes everybody's neighbour.

    Args:
        categories: The columns to compare.
        modality: The one in which neighbours must agree.
        k: Neighbours per item, itself included; at most num_items are returned.
        block_rows: Rows compared at a time; memory is block_rows * num_items floats.
    """
    own = categories[modality].codes
    generator = torch.Generator(own.device).manual_seed(0)
    indices, similarities = [], []
    for start in range(0, len(own), block_rows):
        rows = torch.arange(start, min(start + block_rows, len(own)), device=own.device)
        agree = torch.stack(
            [column.codes[rows, None] == column.codes for column in categories.values()]
        )
        share = agree.float().mean(0) * (own[rows, None] == own)  # [block, num_items]
        rank = share + 1e-3 * torch.rand(share.shape, generator=generator, device=own.device)
        rank[torch.arange(len(rows)), rows] = 2.0
        chosen = torch.topk(rank, min(k, len(own)), dim=-1).indices
        indices.append(chosen)
        similarities.append(share.gather(1, chosen))
    return Neighbours(torch.cat(indices), torch.cat(similarities))


def neighbours_of(inputs: Inputs, modality: Modality, k: int) -> Neighbours:
    """Return the k nearest items of a modality, computed from features when not given.

    Raises:
        ValueError: Fewer neighbours are given, and there are no features to compute them from.
    """
    given = inputs.neighbours.get(modality)
    if given is not None and given.indices.shape[1] >= min(k, inputs.num_items):
        return Neighbours(given.indices[:, :k], given.similarities[:, :k])
    if modality in inputs.categories:
        return category_knn(inputs.categories, modality, k)
    if modality not in inputs.features:
        raise ValueError(f'"{modality}" has fewer than k = {k} neighbours')
    return knn(inputs.features[modality], k)


def item_graph(inputs: Inputs, modality: Modality, k: int) -> SparseMatrix:
    """Build the frozen graph of a modality's k nearest items, weights as in `edge_weights`.

    Raises:
        ValueError: As for `neighbours_of`.
    """
    nearest = neighbours_of(inputs, modality, k)
    return as_matrix(nearest, edge_weights(nearest))


def unweighted_item_graph(inputs: Inputs, modality: Modality, k: int) -> SparseMatrix:
    """Build the frozen graph of a modality's k nearest items, all similar ones counting as 1.

    Normalised as in `edge_weights` (FREEDOM, section 3.1).

    Raises:
        ValueError: As for `neighbours_of`.
    """
    nearest = neighbours_of(inputs, modality, k)
    ones = (nearest.similarities > 0.0).to(nearest.similarities.dtype)
    return as_matrix(nearest, edge_weights(Neighbours(nearest.indices, ones)))


def edge_weights(neighbours: Neighbours) -> Tensor:
    """Normalise the similarities, D^-1/2 S D^-1/2 (MICRO, Eq. 3). Returns [num_items, k].

    Negative similarities count as 0. D holds row sums and stands on both sides although the
    graph is directed, as in the authors' code; an item without a similar one keeps zeros.
    """
    similarities = neighbours.similarities.clamp_min(0.0)
    scale = similarities.sum(-1).clamp_min(1e-12).rsqrt()
    return similarities * scale[:, None] * scale[neighbours.indices]


def as_matrix(neighbours: Neighbours, weights: Tensor) -> SparseMatrix:
    """Return the directed graph whose row i holds item i's neighbours, [num_items, num_items]."""
    num_items, k = neighbours.indices.shape
    rows = torch.arange(num_items, device=weights.device).repeat_interleave(k)
    return SparseMatrix(
        rows, neighbours.indices.flatten(), weights.flatten(), (num_items, num_items)
    )


class LearnedGraph(nn.Module):
    """A graph over transformed features, mixed with the initial one (MICRO, Eq. 4-5).

    A = skip * S + (1 - skip) * A', where A' joins the items whose transformed features
    W e + b are close. Deviates from the paper, which rebuilds A' in every step, and from the
    authors' code, which rebuilds it once per epoch and gives W a gradient in one step of each:
    here which items are joined is refreshed by `rebuild`, and the weights of those edges are
    computed, with gradient, in every step.

    Args:
        initial: The k neighbours by the raw features.
        features: Raw features, float32 [num_items, width]; None (or skip = 1) freezes the graph.
        skip: Share of the initial graph, lambda of Eq. 5.
        embedding_dim: Width of the transformed features.
        generator: Source of the initial transformation.
    """

    features: Tensor
    joined: Tensor

    def __init__(
        self,
        initial: Neighbours,
        features: Tensor | None,
        skip: float,
        embedding_dim: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if not 0.0 <= skip <= 1.0:
            raise ValueError(f"skip must be between 0 and 1, got {skip}")
        self.initial = as_matrix(initial, edge_weights(initial))
        self.skip = skip
        if features is not None and skip < 1.0:
            self.register_buffer("features", features, persistent=False)
            self.weight = nn.Parameter(xavier((embedding_dim, features.shape[1]), generator))
            self.bias = nn.Parameter(torch.zeros(embedding_dim))
            self.register_buffer("joined", initial.indices.clone())
            self.rebuild()
            self.register_load_state_dict_post_hook(_join_again)  # type: ignore[no-untyped-call]

    @property
    def frozen(self) -> bool:
        """True when only the initial graph is used."""
        return not hasattr(self, "weight")

    def transformed(self) -> Tensor:
        """Eq. 4: W e + b, [num_items, embedding_dim]."""
        return nn.functional.linear(self.features, self.weight, self.bias)

    @torch.no_grad()
    def rebuild(self) -> None:
        """Find anew which items the learned graph joins."""
        if not self.frozen:
            self.joined = knn(self.transformed(), self.joined.shape[1]).indices
            self.edges = _directed(self.joined)

    def forward(self, dense: Tensor) -> Tensor:
        """Propagate `dense` [num_items, width] over the mixed graph."""
        around: Tensor = self.initial(dense)
        if self.frozen:
            return around
        unit = normalize(self.transformed(), dim=-1)
        similarities = self.edges.products(unit, unit).view(self.joined.shape)
        weights = edge_weights(Neighbours(self.joined, similarities))
        learned: Tensor = self.edges(weights.flatten(), dense)
        return self.skip * around + (1.0 - self.skip) * learned


def _directed(joined: Tensor) -> EdgeGraph:
    """Edges to every item from those it is joined with, [num_items, k]."""
    num_items, k = joined.shape
    targets = torch.arange(num_items, device=joined.device).repeat_interleave(k)
    return EdgeGraph(joined.flatten(), targets, num_items, num_items)


def _join_again(graph: nn.Module, _: object) -> None:
    assert isinstance(graph, LearnedGraph)
    graph.edges = _directed(graph.joined)


def learned_graph(
    inputs: Inputs,
    modality: Modality,
    k: int,
    *,
    skip: float,
    embedding_dim: int,
    generator: torch.Generator,
) -> LearnedGraph:
    """Build the `LearnedGraph` of a modality's k nearest items; frozen without dense features.

    Raises:
        ValueError: As for `neighbours_of`.
    """
    nearest = neighbours_of(inputs, modality, k)
    return LearnedGraph(nearest, inputs.features.get(modality), skip, embedding_dim, generator)


class FusedGraph(nn.Module):
    """One item graph, the weighted sum of every modality's: A = sum_m share_m A_m.

    Args:
        graphs: Per modality a module that propagates [num_items, width] over its graph.
    """

    def __init__(self, graphs: Mapping[Modality, nn.Module]) -> None:
        super().__init__()
        self.modalities = tuple(graphs)
        self.graphs = nn.ModuleDict({slot(modality): graph for modality, graph in graphs.items()})

    def kept(self, keep: Keep) -> list[nn.Module]:
        """Return the graphs of the modalities that are not ablated."""
        return [self.graphs[slot(m)] for m in self.modalities if kept(m, keep)]

    def forward(self, dense: Tensor, shares: Tensor, keep: Keep = ALL) -> Tensor:
        """Propagate `dense` [num_items, width].

        Args:
            dense: Vectors of the items.
            shares: Weight of every modality, in the order of the graphs, float32 [modalities].
            keep: The graph of a modality that is not kept is the identity.
        """
        hops = [
            self.graphs[slot(modality)](dense) if kept(modality, keep) else dense
            for modality in self.modalities
        ]
        return torch.einsum("m,mid->id", shares, torch.stack(hops))

"""The context of every node of a graph: those that short random walks from it meet most."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.inputs import Neighbours
from models.sparse import SparseMatrix

HOPS = (16, 8, 4)
"""Neighbours drawn per node in the first, second and third step."""


@dataclass(frozen=True)
class Contexts:
    """`nodes` [num_nodes, size] int64, the most significant first; `present` [num_nodes, size]."""

    nodes: Tensor
    present: Tensor


class ContextSampler(nn.Module):
    """MCNSampling of Liu et al. 2021, arXiv:2010.12284 (PMGT).

    From a node 16 neighbours are drawn, from each of them 8, from each of those 4, always with
    replacement and with probability proportional to the edge's weight. A node's significance is
    the sum over the K = 3 steps k of its frequency among those drawn, times K - k + 1; the most
    significant ones are the context.

    Args:
        graph: The weighted neighbours of every node; weights of 0 are no edges.
        size: Nodes per context.
        block_rows: Nodes at a time; memory is a few times block_rows * num_nodes floats.
    """

    neighbours: Tensor
    weights: Tensor

    def __init__(self, graph: Neighbours, size: int, *, block_rows: int = 256) -> None:
        super().__init__()
        self.register_buffer("neighbours", graph.indices, persistent=False)
        self.register_buffer("weights", graph.similarities, persistent=False)
        self.size = min(size, len(graph.indices))
        self.block_rows = block_rows

    def expected(self) -> Contexts:
        """Return the contexts of the largest expected significance; nothing is drawn."""
        weights = self.weights
        num_nodes, k = weights.shape
        shares = weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)
        starts = torch.arange(num_nodes, device=weights.device).repeat_interleave(k)
        step = SparseMatrix(  # transposed: a column holds the probabilities of one walk
            self.neighbours.flatten(), starts, shares.flatten(), (num_nodes, num_nodes)
        )
        found = []
        for rows in self._blocks():
            place = torch.zeros(num_nodes, len(rows), device=weights.device)
            place[rows, torch.arange(len(rows), device=rows.device)] = 1.0
            scores, drawn = torch.zeros_like(place), 1
            for hop, count in enumerate(HOPS):
                drawn *= count
                place = step(place)
                scores += (len(HOPS) - hop) * drawn * place
            found.append(self._top(scores.T, rows))
        return _joined(found)

    def sample(self, generator: torch.Generator) -> Contexts:
        """Draw the contexts of all nodes."""
        found = []
        for rows in self._blocks():
            nodes, met, weights = rows[:, None], [], []
            for hop, count in enumerate(HOPS):
                nodes = self._step(nodes, count, generator)
                met.append(nodes)
                weights.append(torch.full(nodes.shape, float(len(HOPS) - hop), device=rows.device))
            scores = torch.zeros(len(rows), len(self.neighbours), device=rows.device)
            scores.scatter_add_(1, torch.cat(met, 1), torch.cat(weights, 1))
            # A node without neighbours has walked nowhere.
            scores *= (self.weights[rows].sum(-1, keepdim=True) > 0).float()
            found.append(self._top(scores, rows))
        return _joined(found)

    def draw_neighbours(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one neighbour of each of `rows`, int64 [n], by the weights of the edges."""
        return self._step(rows[:, None], 1, generator)[:, 0]

    def _blocks(self) -> tuple[Tensor, ...]:
        nodes = torch.arange(len(self.weights), device=self.weights.device)
        blocks: tuple[Tensor, ...] = nodes.split(self.block_rows)  # type: ignore[no-untyped-call]
        return blocks

    def _step(self, nodes: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Draw `count` neighbours of each of `nodes` [rows, n]. Returns [rows, n * count]."""
        bounds = self.weights[nodes].cumsum(-1)  # [rows, n, k]
        uniform = torch.rand((*nodes.shape, count), generator=generator, device=nodes.device)
        chosen = torch.searchsorted(bounds, uniform * bounds[..., -1:])
        chosen = chosen.clamp_max(bounds.shape[-1] - 1)
        return self.neighbours[nodes].gather(-1, chosen).flatten(1)

    def _top(self, scores: Tensor, rows: Tensor) -> Contexts:
        """Return the nodes of the largest positive scores [rows, num_nodes], not the row's own."""
        scores = scores.scatter(1, rows[:, None], 0.0)
        best = torch.topk(scores, self.size, dim=-1)
        return Contexts(best.indices, best.values > 0)


def _joined(parts: list[Contexts]) -> Contexts:
    return Contexts(
        torch.cat([part.nodes for part in parts]), torch.cat([part.present for part in parts])
    )

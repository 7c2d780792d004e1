"""Message passing with weights that are learned per edge, in memory O(edges)."""

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch_geometric.index import index2ptr
from torch_geometric.utils import softmax

from models.sparse import bag_sum

_SUM = 0  # the number of embedding_bag's mode "sum"


class EdgeGraph(nn.Module):
    """Directed edges from source to target nodes, whose weights may carry a gradient.

    The messages of an attention layer, sum_j w_vj z_j, are a sparse product with values that
    change in every step. No tensor of edges times width is ever built: the product is an
    `embedding_bag`, and so are its gradients.

    Edges are kept sorted by target; weights and logits are given in that order, that of
    `sources` and `targets`, int64 [num_edges].

    Args:
        sources: Source node of every edge, int64 [num_edges].
        targets: Target node of every edge, int64 [num_edges].
        num_sources: Number of source nodes.
        num_targets: Number of target nodes.
    """

    sources: Tensor
    targets: Tensor
    offsets: Tensor
    order_t: Tensor
    targets_t: Tensor
    offsets_t: Tensor

    def __init__(
        self, sources: Tensor, targets: Tensor, num_sources: int, num_targets: int
    ) -> None:
        super().__init__()
        self.num_sources, self.num_targets = num_sources, num_targets
        order = torch.argsort(targets, stable=True)
        sources, targets = sources[order], targets[order]
        order_t = torch.argsort(sources, stable=True)
        parts = {
            "sources": sources,
            "targets": targets,
            "offsets": index2ptr(targets, num_targets),
            "order_t": order_t,
            "targets_t": targets[order_t],
            "offsets_t": index2ptr(sources[order_t], num_sources),
        }
        for name, part in parts.items():
            self.register_buffer(name, part, persistent=False)

    def ending_in(self, targets: Tensor) -> "EdgeGraph":
        """Keep the edges that end in the given nodes, int64 [n], which become 0..n-1."""
        starts = self.offsets.index_select(0, targets)
        counts = self.offsets.index_select(0, targets + 1) - starts
        numbers = torch.arange(len(targets), device=targets.device)
        renumbered = numbers.repeat_interleave(counts)
        # Of the edges so far, those of the same target come before an edge as they did.
        skipped = (starts - (counts.cumsum(0) - counts)).repeat_interleave(counts)
        edges = torch.arange(len(renumbered), device=targets.device) + skipped
        kept = self.sources.index_select(0, edges)
        return EdgeGraph(kept, renumbered, self.num_sources, len(targets))

    def softmax(self, logits: Tensor) -> Tensor:
        """Normalise `logits` [num_edges] over the edges that end in the same target."""
        normalised: Tensor = softmax(logits, self.targets, num_nodes=self.num_targets)
        return normalised

    def forward(self, weights: Tensor, dense: Tensor) -> Tensor:
        """Sum weighted source rows, [num_targets, width].

        Args:
            weights: Value of every edge, float32 [num_edges].
            dense: Vectors of the sources, float32 [num_sources, width].
        """
        summed: Tensor = _WeightedSum.apply(weights, dense, self)  # type: ignore[no-untyped-call]
        return summed

    def products(self, targets: Tensor, sources: Tensor) -> Tensor:
        """Multiply both ends of every edge, a_v . z_j, [num_edges].

        Args:
            targets: Vectors a of the targets, float32 [num_targets, width].
            sources: Vectors z of the sources, float32 [num_sources, width].
        """
        products: Tensor = _Products.apply(targets, sources, self)  # type: ignore[no-untyped-call]
        return products


class _Products(torch.autograd.Function):
    """p_vj = a_v . z_j with gradients for both a and z."""

    @staticmethod
    def forward(ctx: FunctionCtx, targets: Tensor, sources: Tensor, graph: EdgeGraph) -> Tensor:
        targets, sources = targets.contiguous(), sources.contiguous()
        ctx.graph = graph  # type: ignore[attr-defined]  # the context is a free-form record
        ctx.save_for_backward(targets, sources)
        return _edge_products(targets, sources, graph)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        targets, sources = ctx.saved_tensors  # type: ignore[attr-defined]
        graph: EdgeGraph = ctx.graph  # type: ignore[attr-defined]
        needs_targets, needs_sources, _ = ctx.needs_input_grad  # type: ignore[attr-defined]
        grad = grad.contiguous()
        grad_targets = grad_sources = None
        if needs_targets:
            grad_targets = bag_sum(sources, graph.sources, graph.offsets, grad)
        if needs_sources:
            reordered = grad[graph.order_t].contiguous()
            grad_sources = bag_sum(targets, graph.targets_t, graph.offsets_t, reordered)
        return grad_targets, grad_sources, None


class _WeightedSum(torch.autograd.Function):
    """y_v = sum_j w_vj z_j with gradients for both w and z."""

    @staticmethod
    def forward(ctx: FunctionCtx, weights: Tensor, dense: Tensor, graph: EdgeGraph) -> Tensor:
        dense = dense.contiguous()
        ctx.graph = graph  # type: ignore[attr-defined]  # the context is a free-form record
        ctx.save_for_backward(weights, dense)
        return bag_sum(dense, graph.sources, graph.offsets, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        weights, dense = ctx.saved_tensors  # type: ignore[attr-defined]
        graph: EdgeGraph = ctx.graph  # type: ignore[attr-defined]
        needs_weights, needs_dense, _ = ctx.needs_input_grad  # type: ignore[attr-defined]
        grad = grad.contiguous()
        grad_weights = _edge_products(grad, dense, graph) if needs_weights else None
        grad_dense = None
        if needs_dense:
            grad_dense = bag_sum(
                grad, graph.targets_t, graph.offsets_t, weights[graph.order_t].contiguous()
            )
        return grad_weights, grad_dense, None


def _edge_products(targets: Tensor, sources: Tensor, graph: EdgeGraph) -> Tensor:
    """Dot products of both ends of every edge, [num_edges]: also the gradient of its weight.

    It is the gradient that `embedding_bag` computes for its own weights, called directly.
    """
    products: Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        targets, sources, graph.sources, graph.offsets, graph.targets, _SUM, -1
    )
    return products

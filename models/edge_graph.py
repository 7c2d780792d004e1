"""Message passing with weights that are learned per edge, in memory O(edges)."""

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch_geometric.index import index2ptr
from torch_geometric.utils import softmax

from models.sparse import bag_sum


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
        self.num_targets = num_targets
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


def _edge_products(grad: Tensor, dense: Tensor, graph: EdgeGraph) -> Tensor:
    """Dot products grad_v . z_j of every edge, [num_edges]: the gradient of an edge's weight.

    It is the gradient that `embedding_bag` itself computes for its weights, taken by building
    just that part of its graph.
    """
    with torch.enable_grad():
        ones = torch.ones(
            len(graph.sources), dtype=dense.dtype, device=dense.device, requires_grad=True
        )
        summed = bag_sum(dense.detach(), graph.sources, graph.offsets, ones)
    (products,) = torch.autograd.grad(summed, ones, grad)
    return products

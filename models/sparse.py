"""A constant sparse matrix with a fast product, and the normalisations that graphs need."""

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch_geometric.index import index2ptr
from torch_geometric.nn.conv.gcn_conv import gcn_norm


class SparseMatrix(nn.Module):
    """A sparse matrix that is multiplied from the left with dense matrices.

    Rows are stored as bags of (column, weight) and multiplied by `embedding_bag`: on CPU that
    kernel runs about eight times faster than the product of a CSR tensor. The transpose is kept
    beside it for the backward pass; the weights themselves receive no gradient.

    Args:
        rows: Row numbers, int64 [nnz], in any order.
        columns: Column numbers, int64 [nnz].
        weights: Values, float32 [nnz].
        shape: (number of rows, number of columns).
        symmetric: The matrix equals its transpose, which is then not stored.
    """

    columns: Tensor
    offsets: Tensor
    weights: Tensor
    columns_t: Tensor
    offsets_t: Tensor
    weights_t: Tensor

    def __init__(
        self,
        rows: Tensor,
        columns: Tensor,
        weights: Tensor,
        shape: tuple[int, int],
        *,
        symmetric: bool = False,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.symmetric = symmetric
        forward = _to_bags(rows, columns, weights, shape[0])
        backward = forward if symmetric else _to_bags(columns, rows, weights, shape[1])
        for name, part in zip(("columns", "offsets", "weights"), forward, strict=True):
            self.register_buffer(name, part, persistent=False)
        for name, part in zip(("columns_t", "offsets_t", "weights_t"), backward, strict=True):
            self.register_buffer(name, part, persistent=False)

    def forward(self, dense: Tensor) -> Tensor:
        """Multiply with `dense` [columns, width]. Returns [rows, width]; empty rows give 0."""
        product: Tensor = _Product.apply(dense, self)  # type: ignore[no-untyped-call]
        return product


class _Product(torch.autograd.Function):
    """y = A x with gradient A^T dy for x only."""

    @staticmethod
    def forward(ctx: FunctionCtx, dense: Tensor, matrix: SparseMatrix) -> Tensor:
        ctx.matrix = matrix  # type: ignore[attr-defined]  # the context is a free-form record
        return bag_sum(dense, matrix.columns, matrix.offsets, matrix.weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        matrix: SparseMatrix = ctx.matrix  # type: ignore[attr-defined]
        return bag_sum(grad, matrix.columns_t, matrix.offsets_t, matrix.weights_t), None


def bag_sum(dense: Tensor, columns: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    """Sum weighted rows of `dense` per bag, [bags, width]: the product with a sparse matrix."""
    return nn.functional.embedding_bag(
        columns,
        dense.contiguous(),
        offsets,
        mode="sum",
        per_sample_weights=weights,
        include_last_offset=True,
    )


def _to_bags(
    rows: Tensor, columns: Tensor, weights: Tensor, num_rows: int
) -> tuple[Tensor, Tensor, Tensor]:
    order = torch.argsort(rows, stable=True)
    offsets = index2ptr(rows[order], num_rows)
    return columns[order].int(), offsets.int(), weights[order]


def powers(matrix: SparseMatrix, dense: Tensor, count: int) -> list[Tensor]:
    """Return [x, A x, A^2 x, ...], count + 1 tensors: the layers of a linear propagation."""
    layers = [dense]
    for _ in range(count):
        layers.append(matrix(layers[-1]))
    return layers


def symmetric_adjacency(
    edge_index: Tensor, num_users: int, num_items: int, *, isolated_keep: bool = False
) -> SparseMatrix:
    """Bipartite adjacency D^-1/2 A D^-1/2 over users then items, [N, N] (LightGCN, Eq. 3).

    A node without edges has an empty row or, `isolated_keep`, an edge of weight 1 to itself.
    """
    rows, columns = _bipartite(edge_index, num_users)
    num_nodes = num_users + num_items
    if isolated_keep:
        alone = (torch.bincount(rows, minlength=num_nodes) == 0).nonzero().flatten()
        rows, columns = torch.cat([rows, alone]), torch.cat([columns, alone])
    edges, weights = gcn_norm(
        torch.stack([rows, columns]), num_nodes=num_nodes, add_self_loops=False
    )
    return SparseMatrix(edges[0], edges[1], weights, (num_nodes, num_nodes), symmetric=True)


def random_walk_adjacency(
    edge_index: Tensor, num_users: int, num_items: int, *, self_loops: bool = True
) -> SparseMatrix:
    """Bipartite adjacency D^-1 (A + I), [N, N], as the code of MICRO has it.

    Without self-loops it is D^-1 A, the mean over the neighbours; nodes without any get 0.
    """
    num_nodes = num_users + num_items
    loops = torch.arange(num_nodes if self_loops else 0, device=edge_index.device)
    rows, columns = _bipartite(edge_index, num_users)
    rows, columns = torch.cat([rows, loops]), torch.cat([columns, loops])
    degrees = torch.bincount(rows, minlength=num_nodes)
    return SparseMatrix(rows, columns, 1.0 / degrees[rows], (num_nodes, num_nodes))


def mean_aggregation(edge_index: Tensor, num_users: int, num_items: int) -> SparseMatrix:
    """Row-normalised interactions D_u^-1 R, [num_users, num_items]; no items, no weight."""
    degrees = torch.bincount(edge_index[0], minlength=num_users)
    weights = 1.0 / degrees[edge_index[0]]
    return SparseMatrix(edge_index[0], edge_index[1], weights, (num_users, num_items))


def symmetric_aggregation(edge_index: Tensor, num_users: int, num_items: int) -> SparseMatrix:
    """The users' part of `symmetric_adjacency`: D_u^-1/2 R D_i^-1/2, [num_users, num_items]."""
    users, items = edge_index
    degrees = torch.bincount(users)[users] * torch.bincount(items)[items]
    return SparseMatrix(users, items, degrees.float().rsqrt(), (num_users, num_items))


def _bipartite(edge_index: Tensor, num_users: int) -> tuple[Tensor, Tensor]:
    users, items = edge_index[0], edge_index[1] + num_users
    return torch.cat([users, items]), torch.cat([items, users])


def sample_edges(edge_index: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Keep a share of the edges, drawn without replacement, popular ends less often.

    The degree-sensitive edge pruning of FREEDOM (Zhou and Shen 2023, Eq. 6): an edge is drawn
    with probability proportional to 1 / sqrt(deg(u) deg(i)).

    Args:
        edge_index: Training pairs, int64 [2, num_edges].
        share: Share that stays, above 0 and at most 1.
        generator: Source of the draw, on the device of the edges.
    """
    if share >= 1.0:
        return edge_index
    users, items = edge_index
    degrees = torch.bincount(users)[users] * torch.bincount(items)[items]
    # The largest of u^(1/w) form a weighted draw without replacement (Efraimidis and Spirakis
    # 2006); taken in logarithms. torch.multinomial is limited to 2^24 edges.
    uniform = torch.rand(degrees.shape, generator=generator, device=edge_index.device)
    keys = uniform.clamp_min(1e-20).log() * degrees.sqrt()
    kept = torch.topk(keys, max(1, int(share * len(keys))), sorted=False).indices
    return edge_index[:, kept]

"""Who shares most with whom: users by common items, items by common users."""

import torch
from torch import Tensor

from models.inputs import Neighbours
from models.sparse import SparseMatrix


def co_occurrence(
    edge_index: Tensor, num_rows: int, num_columns: int, k: int, *, block_rows: int = 512
) -> Neighbours:
    """Find for every row the k others that have most columns in common with it.

    Among equally many the one with the larger cosine, count / sqrt(deg deg'), comes first. The
    `similarities` are the counts, float32; 0 is no neighbour. A row is not its own neighbour.

    Args:
        edge_index: Distinct pairs (row, column), int64 [2, num_edges].
        num_rows: Number of rows.
        num_columns: Number of columns.
        k: Neighbours per row; at most num_rows are returned.
        block_rows: Rows compared at a time; memory is a few times block_rows * num_rows floats.
    """
    rows, columns = edge_index
    ones = torch.ones(len(rows), device=rows.device)
    matrix = SparseMatrix(rows, columns, ones, (num_rows, num_columns))
    scale = torch.bincount(rows, minlength=num_rows).clamp_min(1).rsqrt()
    indices, counts = [], []
    for start in range(0, num_rows, block_rows):
        size = min(block_rows, num_rows - start)
        inside = (rows >= start) & (rows < start + size)
        own = torch.zeros(num_columns, size, device=rows.device)
        own[columns[inside], rows[inside] - start] = 1.0
        shared = matrix(own)  # [num_rows, block]
        shared[start : start + size].fill_diagonal_(0.0)
        # The cosine is at most 1: it decides between equal counts only.
        rank = (shared + shared * scale[:, None] * scale[start : start + size]).T
        chosen = torch.topk(rank, min(k, num_rows), dim=-1).indices  # [block, k]
        indices.append(chosen)
        counts.append(shared.T.gather(1, chosen))
    return Neighbours(torch.cat(indices), torch.cat(counts))

"""What a model receives: sizes, the training graph, item features; and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

Modality = str
Keep = frozenset[Modality] | None
ALL: Final[Keep] = None
"""Keep every modality; any other value names the modalities that are not ablated."""


@dataclass(frozen=True)
class Neighbours:
    """The k most similar items of every item in one modality (Eq. 1-2 of MICRO).

    `indices` [num_items, k] int64 and `similarities` [num_items, k] float32 (cosine). An item may
    be among its own neighbours; a similarity of 0 or less is no edge.
    """

    indices: Tensor
    similarities: Tensor


@dataclass(frozen=True)
class Inputs:
    """Everything a recommender may learn from.

    Args:
        num_users: Number of users, rows 0 to num_users - 1.
        num_items: Number of items, rows 0 to num_items - 1.
        edge_index: Distinct training pairs (user_row, item_row), int64 [2, num_edges].
        features: Per modality the dense item features, float32 [num_items, width], without NaN
            (a missing row holds the mean of the others).
        neighbours: Per modality the item-item nearest neighbours.

    Raises:
        ValueError: A shape, a dtype or a row number does not fit; the message has both sides.
    """

    num_users: int
    num_items: int
    edge_index: Tensor
    features: Mapping[Modality, Tensor] = field(default_factory=dict)
    neighbours: Mapping[Modality, Neighbours] = field(default_factory=dict)

    def __post_init__(self) -> None:
        edges = self.edge_index
        if edges.dim() != 2 or edges.shape[0] != 2 or edges.dtype != torch.int64:
            raise ValueError(
                f"edge_index must be int64 [2, E], got {edges.dtype} {list(edges.shape)}"
            )
        for row, size, name in ((0, self.num_users, "user"), (1, self.num_items, "item")):
            if edges.shape[1] and not 0 <= int(edges[row].min()) <= int(edges[row].max()) < size:
                raise ValueError(f"edge_index holds {name} rows outside 0..{size - 1}")
        for modality, matrix in self.features.items():
            if matrix.dim() != 2 or matrix.shape[0] != self.num_items:
                raise ValueError(
                    f'features["{modality}"] has shape {list(matrix.shape)}, '
                    f"expected [{self.num_items}, width]"
                )
        for modality, knn in self.neighbours.items():
            if knn.indices.shape != knn.similarities.shape or len(knn.indices) != self.num_items:
                raise ValueError(
                    f'neighbours["{modality}"] has indices {list(knn.indices.shape)} and '
                    f"similarities {list(knn.similarities.shape)}, expected [{self.num_items}, k]"
                )

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities with neighbours or features, sorted by name."""
        return tuple(sorted({*self.features, *self.neighbours}))


@dataclass(frozen=True)
class Batch:
    """Training pairs with their sampled negatives.

    `users` and `positive_items` are int64 [batch]; `negative_items` is int64 [batch, negatives].
    `generator` drives whatever a model samples while it computes its loss.
    """

    users: Tensor
    positive_items: Tensor
    negative_items: Tensor
    generator: torch.Generator


@dataclass(frozen=True)
class Embeddings:
    """User vectors [num_users, D] and item vectors [num_items, D]; their dot product scores."""

    users: Tensor
    items: Tensor

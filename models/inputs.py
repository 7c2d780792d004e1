"""What a model receives: sizes, the training graph, item features; and what it gives back."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import Tensor

Modality = str
Keep = frozenset[Modality] | None
ALL: Final[Keep] = None
"""Keep every modality; any other value names the modalities that are not ablated."""


def kept(modality: Modality, keep: Keep) -> bool:
    """Tell whether a modality is not ablated."""
    return keep is None or modality in keep


@dataclass(frozen=True)
class Neighbours:
    """The k most similar items of every item in one modality (Eq. 1-2 of MICRO).

    `indices` [num_items, k] int64 and `similarities` [num_items, k] float32 (cosine). An item may
    be among its own neighbours; a similarity of 0 or less is no edge.
    """

    indices: Tensor
    similarities: Tensor


@dataclass(frozen=True)
class Categories:
    """A categorical modality: one value per item, a sparse one-hot.

    `codes` [num_items] int64, 0 to num_categories - 1. A missing value is a category of its own.
    """

    codes: Tensor
    num_categories: int


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
        categories: Per categorical modality the value of every item.

    Raises:
        ValueError: A shape, a dtype or a row number does not fit; the message has both sides.
    """

    num_users: int
    num_items: int
    edge_index: Tensor
    features: Mapping[Modality, Tensor] = field(default_factory=dict)
    neighbours: Mapping[Modality, Neighbours] = field(default_factory=dict)
    categories: Mapping[Modality, Categories] = field(default_factory=dict)

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
        for modality, column in self.categories.items():
            if modality in self.features:
                raise ValueError(f'"{modality}" is given both as features and as categories')
            inside = (column.codes >= 0) & (column.codes < column.num_categories)
            if column.codes.shape != (self.num_items,) or not bool(inside.all()):
                raise ValueError(
                    f'categories["{modality}"] must be {self.num_items} codes from 0 to '
                    f"{column.num_categories - 1}, got {list(column.codes.shape)}"
                )

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities with neighbours, features or categories, sorted by name."""
        return tuple(sorted({*self.features, *self.neighbours, *self.categories}))

    def only(self, keep: Collection[Modality]) -> "Inputs":
        """Return the inputs with no modality but those kept.

        Raises:
            ValueError: A modality to keep is not there; the message lists those that are.
        """
        unknown = sorted(set(keep) - set(self.modalities))
        if unknown:
            raise ValueError(
                f"no modality called {', '.join(unknown)}; there are: "
                f"{', '.join(self.modalities) or 'none'}"
            )
        return replace(
            self,
            features={m: x for m, x in self.features.items() if m in keep},
            neighbours={m: x for m, x in self.neighbours.items() if m in keep},
            categories={m: x for m, x in self.categories.items() if m in keep},
        )


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

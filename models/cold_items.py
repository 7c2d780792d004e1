"""Vectors for items that nobody has interacted with, from the items they resemble."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.inputs import Inputs

_TINY = 1e-12


class ColdItems(nn.Module):
    """Gives items without a training pair the mean direction and length of their neighbours.

    What a model learns from interactions alone says nothing about such an item: next to items
    that were trained, its vector is short, and it is never recommended. Items that have pairs
    keep their vectors. In training mode all do: no batch holds an item without pairs.

    Args:
        inputs: Source of the training pairs.
    """

    cold: Tensor

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        degrees = torch.bincount(inputs.edge_index[1], minlength=inputs.num_items)
        self.register_buffer("cold", degrees == 0, persistent=False)

    def forward(self, items: Tensor, graphs: Sequence[nn.Module]) -> Tensor:
        """Return the vectors with those of cold items replaced, [num_items, width].

        Args:
            items: Vectors of all items, float32 [num_items, width].
            graphs: Modules that propagate over item graphs of weights of at least 0. Means are
                weighted by the edges of all of them and leave out other cold items; an item
                without a neighbour that has pairs keeps its vector.
        """
        if self.training or not graphs:
            return items
        warm = (~self.cold)[:, None].to(items.dtype)
        lengths = items.norm(dim=-1, keepdim=True)
        around = torch.cat([items, lengths, torch.ones_like(lengths)], -1) * warm
        summed = torch.stack([graph(around) for graph in graphs]).sum(0)
        total, length, weight = summed[:, :-2], summed[:, -2:-1], summed[:, -1:]
        borrowed = normalize(total, dim=-1) * length / weight.clamp_min(_TINY)
        return torch.where(self.cold[:, None] & (weight > 0), borrowed, items)

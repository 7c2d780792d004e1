"""Item features of any kind, brought to one width; and how a modality is ablated."""

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear, normalize

from models.inputs import ALL, Inputs, Keep, Modality, kept
from models.params import ItemRows, xavier


def slot(modality: Modality) -> str:
    """Name under which a module holds what belongs to a modality.

    `Recommender.param_groups` knows a modality's parameters by it. The prefix keeps modalities
    called like a method of `nn.Module` ("type", "items") from clashing with it.
    """
    return f"of_{modality}"


def mean_ablated(rows: Tensor, modality: Modality, keep: Keep) -> Tensor:
    """Return `rows` [n, width], or their mean in every row when the modality is not kept.

    The ablation of CKD, section 3.2; gradients flow through the mean.
    """
    return rows if kept(modality, keep) else rows.mean(0, keepdim=True).expand_as(rows)


class Projection(nn.Module):
    """W x + b of one modality's item features, [num_items, width].

    A categorical modality is a one-hot x, so that W x is a row of a table; it is never built.

    Args:
        inputs: Source of the features.
        modality: Which of them.
        width: Width of the result.
        generator: Source of the initial values; W is Xavier-uniform, b zero.
        bias: Whether there is a b.
        unit: Whether dense features are divided by their norm first; a zero row stays zero.
        trained: Whether dense features are parameters, which start at the given ones.

    Raises:
        ValueError: The modality has neither features nor categories.
    """

    features: Tensor
    codes: Tensor
    shares: Tensor

    def __init__(
        self,
        inputs: Inputs,
        modality: Modality,
        width: int,
        generator: torch.Generator,
        *,
        bias: bool = True,
        unit: bool = False,
        trained: bool = False,
    ) -> None:
        super().__init__()
        self.modality = modality
        self.categorical = modality in inputs.categories
        if self.categorical:
            column = inputs.categories[modality]
            self.register_buffer("codes", column.codes, persistent=False)
            counts = torch.bincount(column.codes, minlength=column.num_categories)
            self.register_buffer("shares", counts / max(len(column.codes), 1), persistent=False)
            size = column.num_categories
        elif modality in inputs.features:
            dense = inputs.features[modality]
            features = normalize(dense, dim=-1) if unit else dense
            if trained:
                self.features = ItemRows(features.clone())
            else:
                self.register_buffer("features", features, persistent=False)
            size = self.features.shape[1]
        else:
            raise ValueError(f'the features of "{modality}" are needed and missing')
        self.weight = nn.Parameter(xavier((width, size), generator))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def of(self, items: Tensor) -> Tensor:
        """Project some items: their rows of `forward`, [len(items), width]."""
        if not self.categorical:
            return linear(self.features[items], self.weight, self.bias)
        rows = embedding(self.codes[items], self.weight.T)
        return rows if self.bias is None else rows + self.bias

    def forward(self, keep: Keep = ALL) -> Tensor:
        """Project all items; every row is the projected mean when the modality is not kept."""
        if kept(self.modality, keep):
            if not self.categorical:
                return linear(self.features, self.weight, self.bias)
            rows = embedding(self.codes, self.weight.T)
            return rows if self.bias is None else rows + self.bias
        mean = self.shares if self.categorical else self.features.mean(0)
        size = len(self.codes if self.categorical else self.features)
        return linear(mean[None], self.weight, self.bias).expand(size, -1)


def projections(
    inputs: Inputs,
    width: int,
    generator: torch.Generator,
    *,
    bias: bool = True,
    unit: bool = False,
    trained: bool = False,
) -> nn.ModuleDict:
    """Build a `Projection` of every modality, under its `slot`.

    Raises:
        ValueError: A modality has neither features nor categories.
    """
    return nn.ModuleDict(
        {
            slot(modality): Projection(
                inputs, modality, width, generator, bias=bias, unit=unit, trained=trained
            )
            for modality in inputs.modalities
        }
    )

"""The base of every model's parameters, and the initial values they share."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from models.inputs import Inputs

# Ranges of parameters: checked where settings are read, not by the models themselves.
Count = Annotated[int, Ge(1)]
Layers = Annotated[int, Ge(0)]
Weight = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Share = Annotated[float, Ge(0), Le(1)]
Part = Annotated[float, Gt(0), Le(1)]


@dataclass(frozen=True)
class Params:
    """Base of the frozen parameter dataclasses.

    Where they are read, an unknown name, a value out of range and one not finite are errors.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "allow_inf_nan": False}


def xavier(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Xavier-uniform values (Glorot and Bengio 2010) of shape [fan_out, fan_in]."""
    bound = math.sqrt(6.0 / (shape[0] + shape[1]))
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


class UserRows(nn.Parameter):
    """A parameter with one row per user; a training that begins warm matches rows by id."""


class ItemRows(nn.Parameter):
    """A parameter with one row per item; a training that begins warm matches rows by id."""


def item_table(inputs: Inputs, embedding_dim: int, generator: torch.Generator) -> ItemRows:
    """Create ID embeddings of the items, [num_items, embedding_dim], Xavier-uniform.

    Items without a training pair start at zero: no negative is ever drawn from them either, so
    random values would stay and drown what a model knows of their content.
    """
    values = xavier((inputs.num_items, embedding_dim), generator)
    values[torch.bincount(inputs.edge_index[1], minlength=inputs.num_items) == 0] = 0.0
    return ItemRows(values)


def user_table(inputs: Inputs, embedding_dim: int, generator: torch.Generator) -> UserRows:
    """Create ID embeddings of the users, [num_users, embedding_dim], Xavier-uniform."""
    return UserRows(xavier((inputs.num_users, embedding_dim), generator))

"""The base of every model's parameters, and the initial values they share."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Params:
    """Base of the frozen parameter dataclasses; an unknown name is an error where they are read."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


def xavier(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Xavier-uniform values (Glorot and Bengio 2010) of shape [fan_out, fan_in]."""
    bound = math.sqrt(6.0 / (shape[0] + shape[1]))
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)

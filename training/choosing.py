"""The users whose validation pairs choose weights: all of them, or a fixed sample."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.pairs import Pairs

CHOOSING_USERS = 4000


@dataclass(frozen=True)
class Choosing:
    """Rows of the users, int64 [users], and their pairs, numbered by position in `rows`."""

    rows: Tensor
    relevant: Pairs
    masked: Pairs


def choosing(train: Pairs, validation: Pairs, at_most: int = CHOOSING_USERS) -> Choosing:
    """Draw users that have validation pairs; the same ones whenever it is asked."""
    users = np.unique(validation.user_rows)
    if len(users) > at_most:
        rng = np.random.default_rng(0)
        users = np.sort(rng.choice(users, at_most, replace=False))
    relevant, masked = _restricted(validation, users), _restricted(train, users)
    return Choosing(torch.from_numpy(users), relevant, masked)


def _restricted(pairs: Pairs, users: NDArray[np.int64]) -> Pairs:
    positions = np.searchsorted(users, pairs.user_rows).clip(max=len(users) - 1)
    inside = users[positions] == pairs.user_rows
    return Pairs(positions[inside].astype(np.int64), pairs.item_rows[inside])

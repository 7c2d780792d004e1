"""Batches of positive pairs and negatives to contrast them with, on any device."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from training.data.pairs import Pairs
from training.errors import DataError

MAX_ROUNDS = 64


class NegativeSampler:
    """Draws items a user does not have, uniformly (the MMRec protocol).

    Candidates are the items that occur in training. Draws the user already has are drawn again,
    all at once per round, found by binary search in the sorted keys ``user * num_items + item``.

    After 64 rounds, which only users who have nearly every candidate reach, what is left is drawn
    exactly from each such user's remaining candidates. A user who has every candidate gets any
    candidate: there is no negative, and the pair then contributes a contrast of equals.

    Args:
        train: Training pairs.
        num_users: Number of users.
        num_items: Number of items.
        candidates: Item rows to draw from, int64 [C]; None = the items that occur in ``train``.

    Raises:
        DataError: There are no candidates, or rows do not fit ``num_users`` and ``num_items``.
    """

    def __init__(
        self, train: Pairs, num_users: int, num_items: int, candidates: Tensor | None = None
    ) -> None:
        _check_rows(train, num_users, num_items)
        if candidates is None:
            candidates = torch.from_numpy(np.unique(train.item_rows))
        if candidates.numel() == 0:
            raise DataError("no candidates to draw negatives from; train on at least one pair")
        self._num_items = num_items
        self._candidates = candidates.to(torch.int64)
        keys = train.user_rows * np.int64(num_items) + train.item_rows
        # The sentinel keeps every search position valid.
        self._keys = torch.from_numpy(np.append(keys, np.iinfo(np.int64).max))

    def sample(self, user_rows: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw ``n`` negatives per user, with replacement.

        Args:
            user_rows: int64 [B].
            n: Negatives per user.
            generator: Source of randomness, on the device of ``user_rows``.

        Returns:
            int64 [B, n], item rows on the device of ``user_rows``.
        """
        self._move_to(user_rows.device)
        users = user_rows.repeat_interleave(n)  # [B * n]
        items = self._draw(len(users), generator)
        open_places = torch.nonzero(self._taken(users, items)).squeeze(1)
        for _ in range(MAX_ROUNDS):
            if open_places.numel() == 0:
                break
            drawn = self._draw(len(open_places), generator)
            items[open_places] = drawn
            open_places = open_places[self._taken(users[open_places], drawn)]
        for place in open_places.tolist():
            items[place] = self._draw_exactly(users[place], generator)
        return items.view(-1, n)  # [B, n]

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        device = self._candidates.device
        picks = torch.randint(len(self._candidates), (count,), generator=generator, device=device)
        return self._candidates[picks]

    def _taken(self, users: Tensor, items: Tensor) -> Tensor:
        wanted = users * self._num_items + items
        return self._keys[torch.searchsorted(self._keys, wanted)] == wanted

    def _draw_exactly(self, user: Tensor, generator: torch.Generator) -> Tensor:
        free = self._candidates[~self._taken(user.expand(len(self._candidates)), self._candidates)]
        pool = free if len(free) else self._candidates
        return pool[torch.randint(len(pool), (), generator=generator, device=pool.device)]

    def _move_to(self, device: torch.device) -> None:
        if self._keys.device != device:
            self._keys = self._keys.to(device)
            self._candidates = self._candidates.to(device)


def batches(
    train: Pairs, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of all pairs in random order.

    Args:
        train: Training pairs.
        batch_size: Pairs per batch, >= 1; the last batch may be smaller.
        generator: Source of the order; batches live on its device.

    Yields:
        (user_rows [B], item_rows [B]), int64.

    Raises:
        DataError: ``batch_size`` is below 1.
    """
    _check_batch_size(batch_size)
    device = generator.device
    users = torch.from_numpy(train.user_rows).to(device)
    items = torch.from_numpy(train.item_rows).to(device)
    order = torch.randperm(len(train), generator=generator, device=device)
    for start in range(0, len(train), batch_size):
        chosen = order[start : start + batch_size]
        yield users[chosen], items[chosen]


def user_uniform_batches(
    train: Pairs, num_users: int, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of the MICRO protocol: distinct users uniformly, one of their pairs each.

    An epoch has ``ceil(pairs / batch_size)`` batches. A batch holds ``batch_size`` distinct users
    (all users with pairs when there are fewer), so active users do not weigh more.

    Args:
        train: Training pairs.
        num_users: Number of users.
        batch_size: Users per batch, >= 1.
        generator: Source of randomness; batches live on its device.

    Yields:
        (user_rows [B], item_rows [B]), int64.

    Raises:
        DataError: ``batch_size`` is below 1, or a user row is not below ``num_users``.
    """
    _check_batch_size(batch_size)
    device = generator.device
    starts, items = (torch.from_numpy(part).to(device) for part in train.to_csr(num_users))
    counts = starts.diff()
    active = torch.nonzero(counts).squeeze(1)
    for _ in range(-(-len(train) // batch_size)):
        order = torch.randperm(len(active), generator=generator, device=device)
        users = active[order[:batch_size]]
        share = torch.rand(len(users), generator=generator, device=device, dtype=torch.float64)
        yield users, items[starts[users] + (share * counts[users]).long()]


def _check_rows(train: Pairs, num_users: int, num_items: int) -> None:
    if len(train) == 0:
        return
    user, item = int(train.user_rows.max()), int(train.item_rows.max())
    if user >= num_users or item >= num_items:
        raise DataError(
            f"training pairs reach user row {user} and item row {item}, but there are {num_users} "
            f"users and {num_items} items; use the pairs and sizes of one dataset"
        )


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise DataError(f"batch_size is {batch_size}; use at least 1")

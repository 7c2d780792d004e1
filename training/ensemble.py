"""Ensembles: the members' vectors put into one inner-product space."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from training.errors import DataError
from training.parts import Part

Method = Literal["concat", "average"]
WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5)


@dataclass(frozen=True)
class MemberVectors:
    """What one trained model brings.

    `users` [num_users, d] and `items` [num_items, d] float32; `factors` [num_items, d] for
    closed-form models, whose user vector is the sum of the factors of the user's items; `parts`
    are the modalities of the columns, none where they are mixed.
    """

    name: str
    users: Tensor
    items: Tensor
    factors: Tensor | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class EnsembleBlock:
    """A member's columns in the common space, its weight, and its item covariance [d, d]."""

    name: str
    offset: int
    width: int
    weight: float
    covariance: Tensor
    factors: Tensor | None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Ensemble:
    """The common space: `users` [num_users, D], scaled to be served, `items` [num_items, D]."""

    method: Method
    users: Tensor
    items: Tensor
    blocks: tuple[EnsembleBlock, ...]


def concat(members: Sequence[MemberVectors], weights: Sequence[float]) -> Ensemble:
    """Set the members side by side so that the score is the weighted sum of z-scores.

    A member's scores of a user over all items have the standard deviation sqrt(u' C u), C being
    the covariance of its item vectors; dividing the user block by it and multiplying by the
    weight is all it takes. The user's mean score is the same for every item and is left out.
    Members of weight 0 are dropped.

    Raises:
        DataError: A weight is negative or not finite, none is above 0, or the members' sizes
            differ.
    """
    _check_sizes(members)
    if not all(0.0 <= weight < math.inf for weight in weights):
        raise DataError(f"weights are {list(weights)}; use finite numbers that are 0 or more")
    chosen = [(m, float(w)) for m, w in zip(members, weights, strict=True) if w > 0.0]
    if not chosen:
        raise DataError("every weight of the ensemble is 0; give at least one member weight")
    users, blocks, offset = [], [], 0
    for member, weight in chosen:
        covariance = item_covariance(member.items)
        width = member.items.shape[1]
        users.append(weight * zscored(member.users, covariance))
        blocks.append(
            EnsembleBlock(
                member.name, offset, width, weight, covariance, member.factors, member.parts
            )
        )
        offset += width
    items = torch.cat([m.items for m, _ in chosen], dim=1)
    return Ensemble("concat", torch.cat(users, dim=1), items, tuple(blocks))


def average(members: Sequence[MemberVectors]) -> Ensemble:
    """Average the members' vectors after rotating each onto the first.

    The rotation solves orthogonal Procrustes over users and items stacked, every row
    normalised; it leaves a member's own scores as they are. Averaging without it mixes spaces
    that have nothing to do with each other.

    Raises:
        DataError: The members' widths or sizes differ.
    """
    _check_sizes(members)
    widths = {m.name: m.items.shape[1] for m in members}
    if len(set(widths.values())) > 1:
        raise DataError(f"average needs members of one width, got {widths}; use concat")
    reference = members[0]
    anchor = normalize(torch.cat([reference.users, reference.items]), dim=-1)
    users, items = [reference.users], [reference.items]
    for member in members[1:]:
        own = normalize(torch.cat([member.users, member.items]), dim=-1)
        left, _, right = torch.linalg.svd(own.T @ anchor)
        rotation = left @ right
        users.append(member.users @ rotation)
        items.append(member.items @ rotation)
    mean_items = torch.stack(items).mean(0)
    mean_users = torch.stack(users).mean(0)
    block = EnsembleBlock("average", 0, mean_items.shape[1], 1.0, item_covariance(mean_items), None)
    return Ensemble("average", mean_users, mean_items, (block,))


def item_covariance(items: Tensor) -> Tensor:
    """Return the covariance of item vectors, [d, d], over the items as population."""
    centred = items.double() - items.double().mean(0)
    return (centred.T @ centred / len(items)).float()


def zscored(users: Tensor, covariance: Tensor) -> Tensor:
    """Divide user vectors by the standard deviation of their scores; a zero vector stays zero."""
    deviation = torch.einsum("ud,de,ue->u", users, covariance, users).clamp_min(0.0).sqrt()
    return torch.where(deviation > 1e-12, 1.0 / deviation.clamp_min(1e-12), 0.0)[:, None] * users


def choose_weights(
    members: Sequence[MemberVectors],
    quality: Callable[[Ensemble], float],
    *,
    grid: Sequence[float] = WEIGHTS,
    rounds: int = 2,
) -> tuple[list[float], float]:
    """Choose weights by coordinate ascent from the best single member.

    Args:
        members: The candidates.
        quality: The validation metric of an ensemble; higher is better.
        grid: Weights tried for each member in turn.
        rounds: Passes over the members; fewer when a pass changes nothing.

    Returns:
        The weights in the order of the members (0 drops one) and the metric they reach.
    """
    alone = [quality(concat([member], [1.0])) for member in members]
    order = sorted(range(len(members)), key=lambda number: -alone[number])
    weights = [0.0] * len(members)
    weights[order[0]] = 1.0
    best = alone[order[0]]
    for _ in range(rounds):
        before = list(weights)
        for number in order[1:]:
            for value in grid:
                trial = [*weights[:number], value, *weights[number + 1 :]]
                if trial == weights:
                    continue
                reached = quality(concat(members, trial))
                if reached > best:
                    weights, best = trial, reached
        if weights == before:
            break
    return weights, best


def _check_sizes(members: Sequence[MemberVectors]) -> None:
    sizes = {m.name: (len(m.users), len(m.items)) for m in members}
    if not members or len(set(sizes.values())) > 1:
        raise DataError(
            f"members of an ensemble need the same users and items, got {sizes or 'no member'}; "
            "train all of them on one dataset and one split"
        )

"""The vector of a user: as trained, moved by what happened since.

Of every block a user's part is a direction s that was trained; for someone the version does not
know it is that of the mean user. Fresh items of weights w say the direction f = sum_i w_i v_i, v
being the factors of a ``factors`` block and the item vectors of a ``learned`` one. The part becomes
the direction of ``3 s + (sum_i w_i) f``, with s and f scaled so that their scores vary equally over
the items, and keeps the scale that publishing gave it. This rule and its 3 are the best of those
that ``benchmarks/fold_in.py`` tries on a replay of movielens-100k.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.artifact import Artifact, Block

PRIOR_STRENGTH = 3.0
"""How many events of weight 1 the trained vector of a user is worth."""

_MIN_DEVIATION = 1e-12
_Number = TypeVar("_Number", np.float32, np.float64)
_CHUNK_ROWS = 1 << 16


@dataclass(frozen=True, eq=False)
class BlockFoldIn:
    """What an artifact says of users in general, in one block.

    Attributes:
        covariance: of the block's items, [d, d] float64.
        mean_user: [d] float64, with the deviation below; zero when the mean says nothing.
        deviation: the standard deviation of a user's scores, root mean square over the users.
    """

    covariance: NDArray[np.float64]
    mean_user: NDArray[np.float64]
    deviation: float


@dataclass(frozen=True, eq=False)
class FoldIn:
    """All blocks of an artifact side by side, so that a user is moved in a few operations.

    Attributes:
        blocks: by name.
        places: [D] where each column lies in the blocks when all are made as wide as the widest;
            None where they lie as they are.
        covariances: [B, W, W] float64, zero where a block is narrower than W.
        mean_users: [B, W] float64.
    """

    blocks: Mapping[str, BlockFoldIn]
    places: NDArray[np.int64] | None
    covariances: NDArray[np.float64]
    mean_users: NDArray[np.float64]

    def side_by_side(self, vector: NDArray[_Number]) -> NDArray[_Number]:
        """A vector [D] as [B, W], with zeros where a block is narrower than W."""
        shape = self.mean_users.shape
        if self.places is None:
            return vector.reshape(shape)
        blocks = np.zeros(shape[0] * shape[1], vector.dtype)
        blocks[self.places] = vector
        return blocks.reshape(shape)

    def columns(self, blocks: NDArray[_Number]) -> NDArray[_Number]:
        """The vector [D] that `side_by_side` made such blocks [B, W] of."""
        vector = blocks.reshape(-1)
        return vector if self.places is None else vector[self.places]


def fold_in_of(artifact: Artifact) -> FoldIn:
    """Reads a version's users and items once."""
    blocks = {block.name: _block_fold_in(artifact, block) for block in artifact.blocks}
    widest = max(block.width for block in artifact.blocks)
    covariances = np.zeros((len(blocks), widest, widest))
    mean_users = np.zeros((len(blocks), widest))
    places = np.zeros(artifact.users.shape[1], np.int64)
    for number, block in enumerate(artifact.blocks):
        found, width = blocks[block.name], block.width
        covariances[number, :width, :width] = found.covariance
        mean_users[number, :width] = found.mean_user
        places[block.columns] = number * widest + np.arange(width)
    is_even = np.array_equal(places, np.arange(len(blocks) * widest))
    return FoldIn(blocks, None if is_even else places, covariances, mean_users)


def user_vector(
    artifact: Artifact,
    fold_in: FoldIn,
    user_row: int | None,
    fresh_rows: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    prior_strength: float = PRIOR_STRENGTH,
) -> NDArray[np.float32] | None:
    """The query of a user.

    Without fresh items a known user has the stored row, hence exactly the offline ranking.

    Args:
        artifact: the version.
        fold_in: the version's.
        user_row: the user's row, None for a user the version does not know.
        fresh_rows: distinct rows of positive items that the version does not know of this user.
        weights: how much each counts, above 0; 1 is as much as one training interaction.
        prior_strength: how much the trained vector counts against them.

    Returns:
        [D] float32, or None when nothing is known that could rank items.
    """
    stored = None if user_row is None else artifact.users[user_row]
    if not len(fresh_rows):
        return stored if stored is not None and stored.any() else None
    said = weights @ artifact.items[fresh_rows]  # [D] float64
    for block in artifact.blocks:
        if block.kind == "factors":
            said[block.columns] = weights @ artifact.factors[block.name][fresh_rows]
    parts = np.empty((2, *fold_in.mean_users.shape))  # [2, B, W]: what was trained, what is said
    parts[0] = 0.0 if stored is None else fold_in.side_by_side(stored)
    parts[1] = fold_in.side_by_side(said)
    untrained = [not any_number for any_number in parts[0].any(axis=1).tolist()]
    if any(untrained):
        parts[0, untrained] = fold_in.mean_users[untrained]
    shares = _shares(fold_in, parts, untrained, float(weights.sum()) / prior_strength)
    parts *= shares
    vector = fold_in.columns((parts[0] + parts[1]).astype(np.float32))
    return vector if vector.any() else None


def _shares(
    fold_in: FoldIn, parts: NDArray[np.float64], untrained: list[bool], share: float
) -> NDArray[np.float64]:
    """How much of both parts each block becomes, [2, B, 1]."""
    sides = parts.transpose(1, 0, 2)  # [B, 2, W]
    # Of each block the covariance of both parts' scores; any mixture varies accordingly.
    varied = np.matmul(np.matmul(sides, fold_in.covariances), sides.transpose(0, 2, 1))
    shares = np.zeros((2, len(untrained), 1))
    blocks = fold_in.blocks.values()
    for number, (block, found) in enumerate(zip(blocks, varied.tolist(), strict=True)):
        (own, both), (_, other) = found
        own, other = math.sqrt(max(own, 0.0)), math.sqrt(max(other, 0.0))
        deviation = block.deviation if untrained[number] else own
        amount = share * deviation / other if other > _MIN_DEVIATION else 0.0
        mixed = own * own + 2.0 * amount * both + amount * amount * other * other
        varies = math.sqrt(max(mixed, 0.0))
        if varies > _MIN_DEVIATION:
            scale = deviation / varies
            shares[0, number, 0], shares[1, number, 0] = scale, scale * amount
    return shares


def _of_deviation(
    vector: NDArray[np.float64], deviation: float, covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The vector scaled so that its scores have this deviation; zero if they do not vary."""
    own = float(np.sqrt(max(float(vector @ covariance @ vector), 0.0)))
    scaled: NDArray[np.float64] = vector * (deviation / own if own > _MIN_DEVIATION else 0.0)
    return scaled


def _block_fold_in(artifact: Artifact, block: Block) -> BlockFoldIn:
    stored = artifact.covariances.get(block.name)
    covariance = _covariance(artifact.items, block) if stored is None else stored
    covariance = covariance.astype(np.float64)
    mean, second = _moments(artifact.users, block)
    deviation = float(np.sqrt(max(float((second * covariance).sum()), 0.0)))
    if deviation <= _MIN_DEVIATION:
        # Nobody to learn from: the scale that publishing would give a user.
        deviation = block.weight if block.zscore else 1.0
    return BlockFoldIn(covariance, _of_deviation(mean, deviation, covariance), deviation)


def _covariance(items: NDArray[np.float32], block: Block) -> NDArray[np.float64]:
    mean, second = _moments(items, block)
    return second - np.outer(mean, mean)


def _moments(
    rows: NDArray[np.float32], block: Block
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean [d] and second moment [d, d], in blocks of rows: they may not fit into memory."""
    mean, second = np.zeros(block.width), np.zeros((block.width, block.width))
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = rows[start : start + _CHUNK_ROWS, block.columns].astype(np.float64)
        mean += chunk.sum(axis=0)
        second += chunk.T @ chunk
    count = max(1, len(rows))
    return mean / count, second / count

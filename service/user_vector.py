"""The vector of a user: as trained, moved by what happened since.

Of every block a user's part is a direction s that was trained; for someone the version does not
know it is that of the mean user. Fresh items of weights w say the direction f = sum_i w_i v_i, v
being the factors of a ``factors`` block and the item vectors of a ``learned`` one. The part becomes
the direction of ``3 s + (sum_i w_i) f``, with s and f scaled so that their scores vary equally over
the items, and keeps the scale that publishing gave it. This rule and its 3 are the best of those
that ``benchmarks/fold_in.py`` tries on a replay of movielens-100k.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.artifact import Artifact, Block

PRIOR_STRENGTH = 3.0
"""How many events of weight 1 the trained vector of a user is worth."""

_MIN_DEVIATION = 1e-12
_Number = TypeVar("_Number", np.float32, np.float64)
_CHUNK_ROWS = 1 << 16
_USERS_AT_ONCE = 64


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
        deviations: [B] float64, of the blocks' users.
    """

    blocks: Mapping[str, BlockFoldIn]
    places: NDArray[np.int64] | None
    covariances: NDArray[np.float64]
    mean_users: NDArray[np.float64]
    deviations: NDArray[np.float64]

    def side_by_side(self, vectors: NDArray[_Number]) -> NDArray[_Number]:
        """Vectors [n, D] as [n, B, W], with zeros where a block is narrower than W."""
        shape = len(vectors), *self.mean_users.shape
        if self.places is None:
            return vectors.reshape(shape)
        blocks = np.zeros((shape[0], shape[1] * shape[2]), vectors.dtype)
        blocks[:, self.places] = vectors
        return blocks.reshape(shape)

    def columns(self, blocks: NDArray[_Number]) -> NDArray[_Number]:
        """The vectors [n, D] that `side_by_side` made such blocks [n, B, W] of."""
        vectors = blocks.reshape(len(blocks), -1)
        return vectors if self.places is None else vectors[:, self.places]


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
    deviations = np.array([block.deviation for block in blocks.values()])
    return FoldIn(blocks, None if is_even else places, covariances, mean_users, deviations)


class Moved(NamedTuple):
    """Whose vector is wanted.

    Attributes:
        user_row: the user's row, None for a user the version does not know.
        fresh_rows: distinct rows of positive items that the version does not know of this user.
        weights: how much each counts, above 0; 1 is as much as one training interaction.
    """

    user_row: int | None
    fresh_rows: Sequence[int]
    weights: Sequence[float]


def user_vectors(
    artifact: Artifact,
    fold_in: FoldIn,
    users: Sequence[Moved],
    *,
    prior_strength: float = PRIOR_STRENGTH,
) -> list[NDArray[np.float32] | None]:
    """The queries of some users, which cost less together.

    Without fresh items a known user has the stored row, hence exactly the offline ranking.

    Args:
        artifact: the version.
        fold_in: the version's.
        users: who, and what they did.
        prior_strength: how much the trained vector counts against that.

    Returns:
        [D] float32 for each, or None when nothing is known that could rank items.
    """
    vectors: list[NDArray[np.float32] | None] = [None] * len(users)
    moved = [number for number, user in enumerate(users) if user.fresh_rows]
    for start in range(0, len(moved), _USERS_AT_ONCE):
        numbers = moved[start : start + _USERS_AT_ONCE]
        of = [users[number] for number in numbers]
        mixed = _moved_vectors(artifact, fold_in, of, prior_strength)
        says_something = np.logical_or.reduce(mixed, axis=1)
        for place, number in enumerate(numbers):
            vectors[number] = mixed[place] if says_something[place] else None
    for number, user in enumerate(users):
        if user.user_row is not None and not user.fresh_rows:
            stored = artifact.users[user.user_row]
            vectors[number] = stored if stored.any() else None
    return vectors


class Pending(NamedTuple):
    """What a vector is to be made of."""

    artifact: Artifact
    fold_in: FoldIn
    user: Moved


@dataclass(eq=False)
class UserVector:
    """The query of a user, made when it is first asked for.

    Attributes:
        made: [D] float32, or None when nothing is known that could rank items, or not made yet.
        pending: what it is to be made of; None when it is made.
    """

    made: NDArray[np.float32] | None
    pending: Pending | None = None

    @property
    def value(self) -> NDArray[np.float32] | None:
        """[D] float32, or None when nothing is known that could rank items."""
        return self.made if self.pending is None else make_vectors([self])[0]


def make_vectors(wanted: Sequence[UserVector]) -> list[NDArray[np.float32] | None]:
    """The values of some vectors; those of one version that are not made yet are made at once."""
    missing: dict[int, list[tuple[UserVector, Pending]]] = defaultdict(list)
    for vector in wanted:
        if vector.pending is not None:
            missing[id(vector.pending.artifact)].append((vector, vector.pending))
    for some in missing.values():
        artifact, fold_in, _ = some[0][1]
        made = user_vectors(artifact, fold_in, [pending.user for _, pending in some])
        for (vector, _), value in zip(some, made, strict=True):
            vector.made, vector.pending = value, None
    return [vector.made for vector in wanted]


def _moved_vectors(
    artifact: Artifact, fold_in: FoldIn, users: Sequence[Moved], prior_strength: float
) -> NDArray[np.float32]:
    """The vectors [n, D] of users who all have fresh items."""
    parts = np.empty((2, len(users), artifact.users.shape[1]))  # what was trained, what is said
    parts[0] = _trained(artifact, [user.user_row for user in users])
    rows = np.array([row for user in users for row in user.fresh_rows], np.int64)
    # A product with mostly zeros takes BLAS a fraction of what adding up row by row does.
    weights = np.zeros((len(users), len(rows)), np.float32)
    of = np.repeat(np.arange(len(users)), [len(user.fresh_rows) for user in users])
    weights[of, np.arange(len(rows))] = [weight for user in users for weight in user.weights]
    parts[1] = weights @ artifact.items.take(rows, axis=0)
    for block in artifact.blocks:
        if block.kind == "factors":
            factors = artifact.factors[block.name].take(rows, axis=0)
            parts[1][:, block.columns] = weights @ factors
    return _mixed(fold_in, parts, weights.sum(axis=1, keepdims=True) / prior_strength)


def _trained(artifact: Artifact, user_rows: Sequence[int | None]) -> NDArray[np.float32]:
    """What was trained of each [n, D], zeros for those whom the version does not know."""
    rows = [row for row in user_rows if row is not None]
    if len(rows) == len(user_rows):
        return artifact.users.take(rows, axis=0)
    trained = np.zeros((len(user_rows), artifact.users.shape[1]), np.float32)
    trained[[row is not None for row in user_rows]] = artifact.users[rows]
    return trained


def _mixed(
    fold_in: FoldIn, given: NDArray[np.float64], shares: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Of both parts [2, n, D] as much as makes vectors [n, D], by shares [n, 1] of the second."""
    count = len(shares)
    parts = fold_in.side_by_side(given.reshape(2 * count, -1))  # [2 n, B, W]
    trained, fresh = parts[:count], parts[count:]
    untrained = ~trained.any(axis=2)  # [n, B]
    any_untrained = np.count_nonzero(untrained) > 0
    if any_untrained:
        trained[untrained] = np.broadcast_to(fold_in.mean_users, trained.shape)[untrained]
    # Of each block the covariance of both parts' scores; any mixture varies accordingly.
    varied = np.matmul(parts.transpose(1, 0, 2), fold_in.covariances).transpose(1, 0, 2)
    deviations = np.sqrt(np.maximum(np.vecdot(varied, parts), 0.0))
    own, other = deviations[:count], deviations[count:]
    both = np.vecdot(varied[:count], fresh)
    deviation = np.where(untrained, fold_in.deviations, own) if any_untrained else own
    amount = _over(shares * deviation, other)
    varies = np.sqrt(np.maximum(own**2 + 2.0 * amount * both + (amount * other) ** 2, 0.0))
    fresh *= amount[:, :, None]
    fresh += trained
    fresh *= _over(deviation, varies)[:, :, None]
    return fold_in.columns(fresh.astype(np.float32))


def _over(number: NDArray[np.float64], by: NDArray[np.float64]) -> NDArray[np.float64]:
    """A quotient; 0 where what it is divided by is as good as 0."""
    return np.divide(number, by, out=np.zeros_like(by), where=by > _MIN_DEVIATION)


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

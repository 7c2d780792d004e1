"""The vector of a user: as trained, moved by what happened since."""

import numpy as np
from numpy.typing import NDArray

from service.artifact import Artifact, Block

_MIN_DEVIATION = 1e-12


def user_vector(
    artifact: Artifact, user_row: int | None, fresh_rows: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """The query of a user.

    Without fresh items a known user has the stored row, hence exactly the offline ranking. With
    some, every block of kind ``factors`` is the sum of the factors of all the user's items, scaled
    as at publishing; ``learned`` blocks keep the stored values, which are zero for a new user.

    Args:
        artifact: the version.
        user_row: the user's row, None for a user the version does not know.
        fresh_rows: distinct rows of positive items that the version does not know of this user.

    Returns:
        [D] float32, or None when nothing is known that could rank items.
    """
    if user_row is not None and not len(fresh_rows):
        stored: NDArray[np.float32] = artifact.users[user_row]
        return stored if stored.any() else None
    if user_row is None:
        vector = np.zeros(artifact.users.shape[1], np.float32)
        item_rows = fresh_rows
    else:
        vector = np.array(artifact.users[user_row])
        item_rows = np.concatenate([artifact.seen(user_row), fresh_rows])
    if len(item_rows):
        for block in artifact.blocks:
            if block.kind == "factors":
                vector[block.columns] = _fold_in(artifact, block, item_rows)
    return vector if vector.any() else None


def _fold_in(
    artifact: Artifact, block: Block, item_rows: NDArray[np.integer]
) -> NDArray[np.float32]:
    raw = artifact.factors[block.name][item_rows].sum(axis=0, dtype=np.float64)  # [width]
    scale = block.weight
    if block.zscore:
        variance = float(raw @ artifact.covariances[block.name].astype(np.float64) @ raw)
        deviation = np.sqrt(max(variance, 0.0))
        # A user whose scores do not vary over items says nothing: zero, as at publishing.
        scale = block.weight / deviation if deviation > _MIN_DEVIATION else 0.0
    scaled: NDArray[np.float32] = (scale * raw).astype(np.float32)
    return scaled

"""How long the vectors of new items have to be to reach people."""

import numpy as np
from numpy.typing import NDArray

from service.artifact import Artifact

REACH = 1.5
"""How many times as many lists a new item comes in as a trained one; to be learned it must be seen.

Chosen with ``benchmarks/cold_items.py``, on validation.
"""

_PLACES = 20
_REFERENCE_ITEMS = 8192
_USERS = 512
_MIN_TRAINED = 10 * _PLACES
_MIN_FOUND = 30
_BOUNDS = (0.5, 4.0)


def reach_scale(
    artifact: Artifact, sample: NDArray[np.int64], left_out: NDArray[np.float32]
) -> float:
    """What to multiply vectors of new items by, so that they reach `REACH` as many lists.

    A vector that is a mean of others scores less than a vector that was trained to score, by how
    much depends on the models. So trained items are placed as if they were new, and it is counted
    how often the trained vector is among the best of a user who does not have the item, and for
    which scale the placed one would be as often, times `REACH`.

    Args:
        artifact: the version.
        sample: [n] rows of trained items.
        left_out: [n, D] float32, where those items would be placed if they were new.

    Returns:
        A number from 0.5 to 4; 1 for a version too small to measure it.
    """
    trained = np.flatnonzero(artifact.popularity > 0)
    users = np.flatnonzero(np.diff(artifact.seen_indptr))
    users = users[:: max(1, len(users) // _USERS)][:_USERS]
    if len(trained) < _MIN_TRAINED or not len(users):
        return 1.0
    reference = trained[:: -(-len(trained) // _REFERENCE_ITEMS)]
    queries = np.asarray(artifact.users[users])
    bars = _bars(artifact, users, queries, reference)
    unseen = _unseen(artifact, users, sample)
    own = queries @ np.asarray(artifact.items[sample]).T  # [users, n]
    found = int(np.count_nonzero((own >= bars[:, None]) & unseen))
    placed = queries @ left_out.T  # [users, n]
    usable = unseen & (placed > 0.0) & (bars > 0.0)[:, None]
    needed = np.sort((bars[:, None] / np.where(usable, placed, 1.0))[usable])
    wanted = int(REACH * found)
    if found < _MIN_FOUND or wanted >= len(needed):
        return 1.0
    return float(np.clip(needed[wanted], *_BOUNDS))


def _bars(
    artifact: Artifact,
    users: NDArray[np.int64],
    queries: NDArray[np.float32],
    reference: NDArray[np.int64],
) -> NDArray[np.float32]:
    """The score [users] from which an item is in a user's list."""
    scores = queries @ np.asarray(artifact.items[reference]).T  # [users, reference]
    scores[~_unseen(artifact, users, reference)] = -np.inf
    bars: NDArray[np.float32] = np.partition(scores, -_PLACES, axis=1)[:, -_PLACES]
    return bars


def _unseen(
    artifact: Artifact, users: NDArray[np.int64], item_rows: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which of the items [users, n] each of the users does not have; rows rise."""
    unseen = np.ones((len(users), len(item_rows)), np.bool_)
    for number, user in enumerate(users):
        seen = artifact.seen(int(user))
        places = np.searchsorted(item_rows, seen).clip(max=len(item_rows) - 1)
        unseen[number, places[item_rows[places] == seen]] = False
    return unseen

"""What the service makes of a version; the gate is given it, as it may not know the service."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.artifact import Artifact
from training.data.dataset import Dataset
from training.data.pairs import Pairs


@dataclass(frozen=True)
class UserEvents:
    """What a user did that a version has not learned from.

    Attributes:
        user_id: Any id.
        items: Item id to event type to the epoch ms of its newest event; positive events only.
    """

    user_id: str
    items: Mapping[str, Mapping[str, int]]


class Served(Protocol):
    """A version as it would be served."""

    def queries(self, users: Sequence[UserEvents], now_ms: int) -> NDArray[np.float32]:
        """Return the users' vectors [n, D], moved by their events.

        A zero row is someone whom the version knows nothing of; they get popular items.
        """
        ...

    def search(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the item rows [n, k] that the index finds, and the seconds of each search."""
        ...


Serve = Callable[[Artifact], Served]


def events_of(
    dataset: Dataset, user_rows: NDArray[np.int64], pairs: Pairs
) -> tuple[list[UserEvents], int]:
    """Collect the events of some pairs by user.

    Args:
        dataset: Where the events are.
        user_rows: The users wanted, in this order; those without such a pair have no items.
        pairs: The pairs.

    Returns:
        The users, and the epoch ms of the dataset's newest event, by which events age.
    """
    events = dataset.interactions
    positive = [name for name, kind in dataset.event_types.items() if kind.sign == "positive"]
    keys = events.user_rows * np.int64(dataset.num_items) + events.item_rows
    wanted = pairs.user_rows * np.int64(dataset.num_items) + pairs.item_rows
    chosen = np.isin(events.types, positive) & np.isin(keys, wanted)
    chosen &= np.isin(events.user_rows, user_rows)
    times = events.timestamps
    now_ms = 0 if times is None or not len(times) else int(times.max())
    found: dict[int, dict[str, dict[str, int]]] = {}
    for event in np.flatnonzero(chosen).tolist():
        item_id = dataset.items.ids_tuple[events.item_rows[event]]
        types = found.setdefault(int(events.user_rows[event]), {}).setdefault(item_id, {})
        # An event of unknown time has not aged.
        at = now_ms if times is None else int(times[event]) or now_ms
        name = str(events.types[event])
        types[name] = max(at, types.get(name, at))
    names = dataset.users.ids_tuple
    users = [UserEvents(names[row], found.get(row, {})) for row in user_rows.tolist()]
    return users, now_ms

"""What the service makes of a version; the gate is given it, as it may not know the service."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.artifact import Artifact
from training.data.dataset import Dataset
from training.data.pairs import Pairs


@dataclass(frozen=True, eq=False)
class UserEvents:
    """What users did that a version has not learned from; positive events only.

    Of every user, item and type there is the newest event, in the order of those three.

    Attributes:
        user_ids: The users, whether they did something or not; any ids.
        item_ids: The items that may occur.
        types: The event types that may occur.
        users: [n] int64, places in `user_ids`.
        items: [n] int64, places in `item_ids`.
        kinds: [n] int64, places in `types`.
        times_ms: [n] int64, epoch ms.
        now_ms: Epoch ms of the moment when the users ask.
    """

    user_ids: Sequence[str]
    item_ids: Sequence[str]
    types: Sequence[str]
    users: NDArray[np.int64]
    items: NDArray[np.int64]
    kinds: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    now_ms: int


class Served(Protocol):
    """A version as it would be served."""

    def queries(self, events: UserEvents) -> NDArray[np.float32]:
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


def events_of(dataset: Dataset, user_rows: NDArray[np.int64], pairs: Pairs) -> UserEvents:
    """Collect the events of some pairs.

    Args:
        dataset: Where the events are; its newest one says what time it is.
        user_rows: The users wanted, each once, in this order.
        pairs: The pairs.
    """
    events = dataset.interactions
    times = events.timestamps
    now_ms = 0 if times is None or not len(times) else int(times.max())
    places = np.full(dataset.num_users, -1, np.int64)
    places[user_rows] = np.arange(len(user_rows))
    positive = [name for name, kind in dataset.event_types.items() if kind.sign == "positive"]
    keys = events.user_rows * np.int64(dataset.num_items) + events.item_rows
    wanted = pairs.user_rows * np.int64(dataset.num_items) + pairs.item_rows
    chosen = (places[events.user_rows] >= 0) & np.isin(events.types, positive)
    chosen[chosen] = np.isin(keys[chosen], wanted)
    users, items = places[events.user_rows[chosen]], events.item_rows[chosen]
    types, kinds = np.unique(events.types[chosen].astype(np.str_), return_inverse=True)
    if times is None:
        at = np.full(len(users), now_ms, np.int64)
    else:
        # An event of unknown time has not aged.
        at = np.where(times[chosen] == 0, now_ms, times[chosen]).astype(np.int64)
    order = np.lexsort((at, kinds, items, users))
    users, items, kinds, at = users[order], items[order], kinds[order], at[order]
    newest = _ends_of_runs(users, items, kinds)
    names = dataset.users.ids_tuple
    return UserEvents(
        user_ids=[names[row] for row in user_rows.tolist()],
        item_ids=dataset.items.ids_tuple,
        types=types.tolist(),
        users=users[newest],
        items=items[newest],
        kinds=kinds[newest],
        times_ms=at[newest],
        now_ms=now_ms,
    )


def _ends_of_runs(*columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where the next row of sorted columns differs, the last row included, [n] bool."""
    ends = np.ones(len(columns[0]), np.bool_)
    ends[:-1] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return ends

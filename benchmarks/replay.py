"""Interactions as they happened: what was learned from, and what came after."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset
from training.data.splits import Pairs, positive_pairs
from training.errors import DataError

NEW_USER_EVENTS = (1, 3, 5, 10)
_MIN_RELEVANT = 5


@dataclass(frozen=True)
class Case:
    """Users at one moment: what they did since the training, and what they will do next.

    `is_new` says that the training knew nothing of them.
    """

    name: str
    is_new: bool
    observed: Pairs
    relevant: Pairs


@dataclass(frozen=True)
class Replay:
    """The pairs a model is trained on, and the cases that came after."""

    trained: Pairs
    cases: tuple[Case, ...]


def replay(dataset: Dataset, start: float, end: float) -> Replay:
    """Cut a dataset at two moments; ties are in a fixed random order.

    New users are asked for after their first events, always for the same pairs: those after their
    tenth, if there are five of them. Returning users are asked for after the first half of what
    they did in the window, for the other half.

    Args:
        dataset: A dataset with timestamps.
        start: Share of all pairs that lies before the window.
        end: Share of all pairs that lies before the end of the window.

    Raises:
        DataError: The dataset has no times.
    """
    pairs = positive_pairs(dataset)
    if pairs.timestamps is None:
        raise DataError(f"{dataset.name} has no timestamps to replay")
    ties = np.random.default_rng(0).permutation(len(pairs.user_rows))
    order = np.lexsort((ties, pairs.timestamps, pairs.user_rows))
    users, items, times = pairs.user_rows[order], pairs.item_rows[order], pairs.timestamps[order]
    first, last = np.quantile(times, [start, end])
    before = times < first
    window = (times >= first) & ((times < last) if end < 1.0 else True)
    trained = Pairs.of(users[before], items[before])
    known = np.isin(users[window], trained.user_rows)
    return Replay(trained, _cases(users[window], items[window], known))


def _cases(
    users: NDArray[np.int64], items: NDArray[np.int64], known: NDArray[np.bool_]
) -> tuple[Case, ...]:
    _, starts, inverse, counts = np.unique(
        users, return_index=True, return_inverse=True, return_counts=True
    )
    position, count = np.arange(len(users)) - starts[inverse], counts[inverse]

    def case(
        name: str,
        concerned: NDArray[np.bool_],
        end: NDArray[np.int64] | int,
        begin: NDArray[np.int64] | int,
    ) -> Case:
        observed = concerned & (position < end)
        relevant = concerned & (position >= begin)
        return Case(
            name,
            not known[concerned].any(),
            Pairs.of(users[observed], items[observed]),
            Pairs.of(users[relevant], items[relevant]),
        )

    last = max(NEW_USER_EVENTS)
    new = ~known & (count >= last + _MIN_RELEVANT)
    cases = [
        case(f"new users after {n} event{'s' if n > 1 else ''}", new, n, last)
        for n in NEW_USER_EVENTS
    ]
    half = count // 2
    return (*cases, case("returning users", known & (count >= 4), half, half))

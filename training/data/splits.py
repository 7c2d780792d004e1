"""Train, validation and test pairs of a data set, by one of five rules.

Only events of positive sign make pairs; repeated events of a user and an item are one pair, at the
time of the first one. Every rule is deterministic given its ``rng``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset
from training.data.pairs import Pairs as Pairs
from training.data.pairs import SealedTest as SealedTest
from training.data.pairs import Split as Split
from training.errors import DataError

TRAIN, VALIDATION, TEST = 0, 1, 2
LEFT_OUT = 3
RETRAINING = "retraining"
"""The split of a dataset that retraining has labelled; it is chosen by nobody else."""
Ratios = tuple[float, float, float]
DEFAULT_RATIOS: Ratios = (0.8, 0.1, 0.1)


def official(ds: Dataset, name: str = "official") -> Split:
    """The labels that came with the data (the first event's label for repeated pairs).

    Args:
        ds: Data set.
        name: Name of the split; labels that retraining gave make the split `retraining`.

    Raises:
        DataError: The data set has no official labels.
    """
    pairs = positive_pairs(ds)
    if pairs.labels is None:
        raise DataError(
            f"dataset {ds.name!r} has no official labels; choose one of "
            f"{', '.join(name for name in SPLITS if name != 'official')}"
        )
    return _assemble(name, pairs, pairs.labels)


def random_per_user(
    ds: Dataset, rng: np.random.Generator, ratios: Ratios = DEFAULT_RATIOS
) -> Split:
    """Shuffle every user's pairs and cut them by ``ratios``.

    A held-out share is rounded down, except that a share below one pair takes one pair (test
    first) while the user keeps at least one for training. So a user of 5 pairs gives 3/1/1, a
    user of 2 gives 1/0/1, and a user of 1 trains only.

    Args:
        ds: Data set.
        rng: Source of the shuffle.
        ratios: Shares of train, validation and test; they add up to 1.

    Raises:
        DataError: Ratios are negative, do not add up to 1, or leave nothing to train on.
    """
    _check_ratios(ratios)
    pairs = positive_pairs(ds)
    order = np.lexsort((rng.random(len(pairs.user_rows)), pairs.user_rows))
    rank, count = _ranks(pairs.user_rows[order])
    num_test = np.floor(count * ratios[2] + 1e-9).astype(np.int64)
    num_validation = np.floor(count * ratios[1] + 1e-9).astype(np.int64)
    num_test += (num_test == 0) & (ratios[2] > 0) & (count - num_validation > 1)
    num_validation += (num_validation == 0) & (ratios[1] > 0) & (count - num_test > 1)
    labels = np.empty(len(order), dtype=np.int8)
    labels[order] = np.select(
        [rank < num_test, rank < num_test + num_validation], [TEST, VALIDATION], TRAIN
    )
    return _assemble("random_per_user", pairs, labels)


def global_time(ds: Dataset, ratios: Ratios = DEFAULT_RATIOS) -> Split:
    """Cut all pairs at two moments: the oldest train, the newest test.

    Pairs of one moment stay together, so shares are met up to ties; pairs of unknown time train.
    Users and items may occur in a later part only, as in life.

    Raises:
        DataError: The data set has no times, or the ratios are wrong.
    """
    _check_ratios(ratios)
    pairs = positive_pairs(ds)
    times = _times(pairs, ds, "global_time")
    ordered = np.sort(times)
    cuts = [round(len(ordered) * share) for share in (ratios[0], ratios[0] + ratios[1])]
    labels = np.zeros(len(times), dtype=np.int8)
    for cut, label in zip(cuts, (VALIDATION, TEST), strict=True):
        if cut < len(ordered):
            labels[times >= ordered[cut]] = label
    return _assemble("global_time", pairs, labels)


def leave_last_out(ds: Dataset, *, with_test: bool = True) -> Split:
    """Hold out the newest pairs of every user who has at least three.

    Equal times, unknown ones included, are ordered by a fixed random draw.

    Args:
        ds: Data set.
        with_test: True: the newest pair tests, the second newest validates. False: the newest
            validates and the test part is empty.

    Raises:
        DataError: The data set has no times.
    """
    pairs = positive_pairs(ds)
    times = _times(pairs, ds, "leave_last_out")
    # By item row, ties would hold out the same items for everyone: data without times of its own
    # would lose the items with the highest rows from training.
    ties = np.random.default_rng(0).permutation(len(times))
    order = np.lexsort((ties, times, pairs.user_rows))
    rank, count = _ranks(pairs.user_rows[order])
    from_newest = np.where(count >= 3, count - 1 - rank, LEFT_OUT)
    held_out = (TEST, VALIDATION) if with_test else (VALIDATION, TRAIN)
    labels = np.empty(len(order), dtype=np.int8)
    labels[order] = np.select([from_newest == 0, from_newest == 1], held_out, TRAIN)
    return _assemble("leave_last_out", pairs, labels)


def cold_items(ds: Dataset, rng: np.random.Generator, share: float = 0.2) -> Split:
    """Hide a share of the items from training: half of them validate, half test.

    Only items that have pairs are drawn, so items without any stay out of the count.

    Args:
        ds: Data set.
        rng: Source of the draw.
        share: Share of items never seen in training, 0 < share < 1.

    Raises:
        DataError: ``share`` is out of range.
    """
    if not 0 < share < 1:
        raise DataError(f"share of cold items is {share}; use a number between 0 and 1")
    pairs = positive_pairs(ds)
    shuffled = rng.permutation(np.unique(pairs.item_rows))
    num_cold = max(2, round(share * len(shuffled)))
    label_of = np.zeros(ds.num_items, dtype=np.int8)
    label_of[shuffled[: num_cold // 2]] = VALIDATION
    label_of[shuffled[num_cold // 2 : num_cold]] = TEST
    return _assemble("cold_items", pairs, label_of[pairs.item_rows])


def make_split(ds: Dataset, name: str, seed: int) -> Split:
    """Split by name with default settings.

    Args:
        ds: Data set.
        name: One of `SPLITS`; ``-`` counts as ``_``.
        seed: Seed of the random rules; the others ignore it.

    Raises:
        DataError: No such split (the message lists them), or the data cannot be split this way.
    """
    if name == RETRAINING:
        return official(ds, RETRAINING)
    rule = SPLITS.get(name.replace("-", "_"))
    if rule is None:
        raise DataError(f"unknown split {name!r}; choose one of {', '.join(SPLITS)}")
    return rule(ds, np.random.default_rng(seed))


SPLITS: dict[str, Callable[[Dataset, np.random.Generator], Split]] = {
    "official": lambda ds, _: official(ds),
    "random_per_user": random_per_user,
    "global_time": lambda ds, _: global_time(ds),
    "leave_last_out": lambda ds, _: leave_last_out(ds),
    "leave_last_out_validation": lambda ds, _: leave_last_out(ds, with_test=False),
    "cold_items": cold_items,
}


@dataclass(frozen=True)
class PositivePairs:
    """Positive events collapsed to pairs, sorted by user, then item; all arrays [P].

    Attributes:
        user_rows: int64.
        item_rows: int64.
        timestamps: Time of the first event, int64 epoch ms (0 = unknown); None without times.
        labels: Official label, int8; None without labels.
    """

    user_rows: NDArray[np.int64]
    item_rows: NDArray[np.int64]
    timestamps: NDArray[np.int64] | None
    labels: NDArray[np.int8] | None


def positive_pairs(ds: Dataset) -> PositivePairs:
    """Collapse the positive events of a data set; the first event gives time and label.

    Raises:
        DataError: There is no positive event.
    """
    events = ds.interactions
    positive = [name for name, type_ in ds.event_types.items() if type_.sign == "positive"]
    rows = np.flatnonzero(np.isin(events.types, positive))
    if len(rows) == 0:
        raise DataError(
            f"dataset {ds.name!r} has no events of positive sign (event types: "
            f'{", ".join(ds.event_types)}); set sign = "positive" in dataset.toml'
        )
    times = np.zeros(len(rows), np.int64) if events.timestamps is None else events.timestamps[rows]
    users, items = events.user_rows[rows], events.item_rows[rows]
    order = np.lexsort((times, items, users))
    users, items, rows = users[order], items[order], rows[order]
    first = np.ones(len(rows), dtype=np.bool_)
    first[1:] = (np.diff(users) != 0) | (np.diff(items) != 0)
    rows = rows[first]
    return PositivePairs(
        user_rows=users[first],
        item_rows=items[first],
        timestamps=None if events.timestamps is None else events.timestamps[rows],
        labels=None if events.labels is None else events.labels[rows],
    )


def known_pairs(ds: Dataset) -> Pairs:
    """Every positive pair of all splits: what a user has consumed by now, for publishing.

    Not for training or tuning: it contains the held-out pairs.

    Raises:
        DataError: There is no positive event.
    """
    pairs = positive_pairs(ds)
    return Pairs(pairs.user_rows, pairs.item_rows)


def _assemble(name: str, pairs: PositivePairs, labels: NDArray[np.int8]) -> Split:
    """Make a split from one label (0/1/2; anything else = left out) per pair.

    Raises:
        DataError: No pair is left to train on.
    """
    if not (labels == TRAIN).any():
        raise DataError(
            f"split {name!r} leaves no training pairs of {len(labels)}; "
            "choose another split or other ratios"
        )
    train, validation, test = (
        Pairs(pairs.user_rows[labels == part], pairs.item_rows[labels == part])
        for part in (TRAIN, VALIDATION, TEST)
    )
    return Split(name, train, validation, SealedTest(test, name))


def _check_ratios(ratios: Ratios) -> None:
    if min(ratios) < 0 or ratios[0] == 0 or abs(sum(ratios) - 1) > 1e-9:
        raise DataError(f"ratios {ratios} must be >= 0 and add up to 1, with a share to train on")


def _times(pairs: PositivePairs, ds: Dataset, rule: str) -> NDArray[np.int64]:
    if pairs.timestamps is None:
        raise DataError(
            f"dataset {ds.name!r} has no timestamps, which split {rule!r} needs; "
            "choose official, random_per_user or cold_items"
        )
    return pairs.timestamps


def _ranks(sorted_users: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Position within its user and that user's number of pairs, for pairs grouped by user."""
    _, start, inverse, counts = np.unique(
        sorted_users, return_index=True, return_inverse=True, return_counts=True
    )
    return np.arange(len(sorted_users)) - start[inverse], counts[inverse]

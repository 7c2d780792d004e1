"""User-item pairs, and the three parts of a split; the test part opens once per record file."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError, SplitLeakage


@dataclass(frozen=True)
class Pairs:
    """Unique (user, item) pairs, sorted by user, then item.

    Attributes:
        user_rows: int64 [P].
        item_rows: int64 [P].

    Raises:
        DataError: The arrays differ in length, are not sorted, or repeat a pair.
    """

    user_rows: NDArray[np.int64]
    item_rows: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check the order once, so that nobody else has to."""
        if self.user_rows.shape != self.item_rows.shape or self.user_rows.ndim != 1:
            raise DataError(
                f"pairs need two vectors of one length, got {self.user_rows.shape} and "
                f"{self.item_rows.shape}; use Pairs.of"
            )
        user_steps, item_steps = np.diff(self.user_rows), np.diff(self.item_rows)
        if not ((user_steps > 0) | ((user_steps == 0) & (item_steps > 0))).all():
            raise DataError("pairs must be unique and sorted by user, then item; use Pairs.of")

    @classmethod
    def of(cls, user_rows: NDArray[np.integer], item_rows: NDArray[np.integer]) -> "Pairs":
        """Sort pairs given in any order and drop repetitions."""
        users, items = np.asarray(user_rows, np.int64), np.asarray(item_rows, np.int64)
        order = np.lexsort((items, users))
        users, items = users[order], items[order]
        keep = np.ones(len(users), dtype=np.bool_)
        keep[1:] = (np.diff(users) != 0) | (np.diff(items) != 0)
        return cls(users[keep], items[keep])

    def to_csr(self, num_users: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Items per user as (indptr [num_users + 1], indices [P]), both int64.

        Raises:
            DataError: A user row is not below ``num_users``.
        """
        if len(self) and int(self.user_rows[-1]) >= num_users:
            raise DataError(f"user row {self.user_rows[-1]} is not below num_users {num_users}")
        counts = np.bincount(self.user_rows, minlength=num_users)
        return np.concatenate(([0], np.cumsum(counts))).astype(np.int64), self.item_rows

    def __len__(self) -> int:
        return len(self.user_rows)


class SealedTest:
    """Test pairs that are opened once, and whose opening is on record.

    Args:
        pairs: The test pairs.
        split: Name of the split, written into the record.
    """

    __slots__ = ("__pairs", "_split")

    def __init__(self, pairs: Pairs, split: str) -> None:
        self.__pairs = pairs
        self._split = split

    def open(self, record: Path, *, clock: Callable[[], float] = time.time) -> Pairs:
        """Hand out the test pairs and write ``record``, which must not exist yet.

        Args:
            record: JSON file of the run: when, which split, how many users and pairs.
            clock: Seconds since the epoch.

        Raises:
            SplitLeakage: The record exists: this run has seen its test pairs already.
        """
        content = {
            "opened_at": datetime.fromtimestamp(clock(), UTC).isoformat(),
            "split": self._split,
            "users": len(np.unique(self.__pairs.user_rows)),
            "pairs": len(self.__pairs),
        }
        record.parent.mkdir(parents=True, exist_ok=True)
        try:
            with record.open("x", encoding="utf-8") as file:
                json.dump(content, file, indent=2)
        except FileExistsError as error:
            raise SplitLeakage(
                f"the test split was opened before, see {record}; choose on validation, and start "
                "a new run to measure again"
            ) from error
        return self.__pairs

    def __len__(self) -> int:
        return len(self.__pairs)

    def __repr__(self) -> str:
        return f"SealedTest({len(self)} pairs of split {self._split!r})"


@dataclass(frozen=True)
class Split:
    """One division of a data set's positive pairs.

    Attributes:
        name: How it was made.
        train: Pairs a model may learn from.
        validation: Pairs everything is chosen on.
        test: Sealed pairs, for the one final number.
    """

    name: str
    train: Pairs
    validation: Pairs
    test: SealedTest

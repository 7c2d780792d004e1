"""What was worked out for new items of a version, so that the next one costs as much as the first.

Everything here is of one version, and found again by the change that it was worked out for: a
change that is replaced by a later one is forgotten.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.item_change import ItemChange

_MIN_ROOM = 256

_T = TypeVar("_T")


class Remembered(Generic[_T]):
    """A result per change, computed when it is first asked for."""

    def __init__(self) -> None:
        """Knows nothing yet."""
        self._known: dict[str, tuple[ItemChange, _T]] = {}

    def all(self, changes: Sequence[ItemChange], compute: Callable[[ItemChange], _T]) -> list[_T]:
        """The results of these changes, in their order; those of others are forgotten."""
        known = {}
        for change in changes:
            found = self._known.get(change.item_id)
            if found is None or found[0] is not change:
                found = (change, compute(change))
            known[change.item_id] = found
        self._known = known
        return [result for _, result in known.values()]


class GrowingMatrix:
    """A matrix with rows after its own.

    Rows that are added last are written behind those that are there, where older views do not
    look; all else makes a new copy.
    """

    def __init__(self, base: NDArray[np.float32]) -> None:
        """Copies nothing yet.

        Args:
            base: [I, D] float32.
        """
        self._base = base
        self._buffer = base
        self._owners: list[object] = []

    def with_rows(
        self, owners: Sequence[object], rows: Sequence[NDArray[np.float32] | None]
    ) -> NDArray[np.float32]:
        """The matrix [I + n, D] with these rows after its own, zeros for None; read-only.

        Args:
            owners: [n] what each row belongs to; the same owner has the same row.
            rows: [n] float32 [D].
        """
        if not owners:
            return self._base
        first, kept = len(self._base), len(self._owners)
        is_longer = all(old is new for old, new in zip(self._owners, owners, strict=False))
        if not is_longer or kept > len(owners) or first + len(owners) > len(self._buffer):
            room = first + max(_MIN_ROOM, 2 * len(owners))
            self._buffer = np.zeros((room, self._base.shape[1]), np.float32)
            self._buffer[:first] = self._base
            kept = 0
        for number in range(kept, len(owners)):
            row = rows[number]
            if row is not None:
                self._buffer[first + number] = row
        self._owners = list(owners)
        grown = self._buffer[: first + len(owners)]
        grown.flags.writeable = False
        return grown


class Grown(Generic[_T]):
    """Of one version: places and metadata of new items, and the matrices that they are added to."""

    def __init__(self) -> None:
        """Nothing is added yet."""
        self.places: Remembered[_T] = Remembered()
        self.metadata: Remembered[dict[str, object]] = Remembered()
        self._matrices: dict[tuple[str, str], GrowingMatrix] = {}

    def matrix(self, kind: str, name: str, base: NDArray[np.float32]) -> GrowingMatrix:
        """One of the version's matrices."""
        return self._matrices.setdefault((kind, name), GrowingMatrix(base))

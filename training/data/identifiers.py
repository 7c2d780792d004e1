"""The only bridge between outside ids and row numbers."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError


class IdMap:
    """Immutable bijection between external ids (opaque strings) and rows ``0 .. len-1``.

    Args:
        ids: Every external id once; its position is its row.

    Raises:
        DataError: An id occurs twice.
    """

    __slots__ = ("_ids", "_row_of")

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = tuple(ids)
        self._row_of = {id_: row for row, id_ in enumerate(self._ids)}
        if len(self._row_of) != len(self._ids):
            row = next(row for row, id_ in enumerate(self._ids) if self._row_of[id_] != row)
            raise DataError(
                f"id {self._ids[row]!r} occurs at row {row} and again at row "
                f"{self._row_of[self._ids[row]]}; keep one row per id"
            )

    @property
    def ids_tuple(self) -> tuple[str, ...]:
        """Every external id in row order."""
        return self._ids

    def rows(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """Row of every id, int64 [n], in the order asked.

        Raises:
            DataError: An id is not in the map; the message names up to five of them.
        """
        wanted = tuple(ids)
        rows = [self._row_of.get(id_, -1) for id_ in wanted]
        missing = [id_ for id_, row in zip(wanted, rows, strict=True) if row < 0]
        if missing:
            shown = ", ".join(repr(id_) for id_ in missing[:5])
            raise DataError(
                f"{len(missing)} of {len(wanted)} ids are unknown, first: {shown}; "
                f"the map holds {len(self)} ids, ask only for those (`id in id_map` tells)"
            )
        return np.asarray(rows, dtype=np.int64)

    def ids(self, rows: Iterable[int] | NDArray[np.integer]) -> list[str]:
        """External id of every row, in the order asked.

        Raises:
            DataError: A row lies outside ``0 .. len-1``; negative rows do not count backwards.
        """
        asked = np.asarray(rows if isinstance(rows, np.ndarray) else list(rows), dtype=np.int64)
        outside = (asked < 0) | (asked >= len(self))
        if outside.any():
            raise DataError(
                f"row {int(asked[outside][0])} lies outside 0..{len(self) - 1}; "
                "use rows of this very dataset"
            )
        return [self._ids[row] for row in asked.tolist()]

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, id_: object) -> bool:
        return id_ in self._row_of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdMap) and self._ids == other._ids

    def __hash__(self) -> int:
        return hash(self._ids)

    def __repr__(self) -> str:
        return f"IdMap({len(self)} ids)"

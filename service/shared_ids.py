"""Ids of large catalogues in a mapped file, so that all workers share one copy.

A dictionary of a million ids takes some 200 MiB in every worker. Here the ids lie one after the
other, and a row is found by the sorted hashes of all ids: a few microseconds instead of none.
"""

import logging
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import overload

import numpy as np
from numpy.typing import NDArray

from service.kept import keep

logger = logging.getLogger(__name__)

MIN_IDS = 50_000
"""Fewer ids are kept as Python's own strings, which are quicker."""

_INT = np.dtype(np.int64)
_HASH = np.dtype(np.uint64)


class SharedIds(Sequence[str]):
    """Ids by row."""

    def __init__(self, content: NDArray[np.uint8]) -> None:
        """Wraps what `packed` made."""
        self.content = content
        count = int(content[: _INT.itemsize].view(_INT)[0])
        bounds = [_INT.itemsize]
        for size in ((count + 1) * _INT.itemsize, count * _HASH.itemsize, count * _INT.itemsize):
            bounds.append(bounds[-1] + size)
        self._offsets = content[bounds[0] : bounds[1]].view(_INT).data
        self.hashes = content[bounds[1] : bounds[2]].view(_HASH).data
        self.rows = content[bounds[2] : bounds[3]].view(_INT).data
        self._text = content[bounds[3] :].data

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...
    def __getitem__(self, row: int | slice) -> str | Sequence[str]:
        if isinstance(row, slice):
            return tuple(self[number] for number in range(*row.indices(len(self))))
        number = row + len(self) if row < 0 else row
        if not 0 <= number < len(self):
            raise IndexError(f"there is no row {row} in {len(self)} ids")
        return str(self._text[self._offsets[number] : self._offsets[number + 1]], "utf-8")


class SharedRows(Mapping[str, int]):
    """Rows by id."""

    def __init__(self, ids: SharedIds) -> None:
        """Looks ids up in `ids`."""
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __getitem__(self, identifier: str) -> int:
        hashes, rows = self._ids.hashes, self._ids.rows
        wanted = _hash(identifier.encode("utf-8", "surrogatepass"))
        place = bisect_left(hashes, wanted)
        while place < len(hashes) and hashes[place] == wanted:
            if self._ids[rows[place]] == identifier:
                return rows[place]
            place += 1
        raise KeyError(identifier)


class LongerIds(Sequence[str]):
    """Ids with some after them."""

    def __init__(self, first: Sequence[str], added: tuple[str, ...]) -> None:
        """Copies nothing."""
        self._first = first
        self._added = added

    def __len__(self) -> int:
        return len(self._first) + len(self._added)

    def __iter__(self) -> Iterator[str]:
        return chain(self._first, self._added)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...
    def __getitem__(self, row: int | slice) -> str | Sequence[str]:
        if isinstance(row, slice):
            return tuple(self[number] for number in range(*row.indices(len(self))))
        known = len(self._first)
        number = row + len(self) if row < 0 else row
        return self._first[number] if 0 <= number < known else self._added[number - known]


class LongerRows(Mapping[str, int]):
    """Rows of ids with some after them."""

    def __init__(self, first: Mapping[str, int], added: Mapping[str, int]) -> None:
        """Copies nothing."""
        self._first = first
        self._added = added

    def __len__(self) -> int:
        return len(self._first) + len(self._added)

    def __iter__(self) -> Iterator[str]:
        return chain(self._first, self._added)

    def __getitem__(self, identifier: str) -> int:
        row = self._added.get(identifier)
        return self._first[identifier] if row is None else row


def share(ids: Sequence[str], kept: Path) -> Sequence[str]:
    """The same ids, mapped from a file where they are many.

    Args:
        ids: distinct ids.
        kept: the file; written if it is not there or holds others.
    """
    if len(ids) < MIN_IDS:
        return ids
    content = packed(ids)
    try:
        known = _mapped(kept)
        if known is None or not np.array_equal(known, content):
            keep(kept, content.tofile)
            known = _mapped(kept)
    except OSError as error:
        logger.warning("ids are not shared: %s; every worker has its own", error)
        known = None
    return SharedIds(content if known is None else known)


def rows_of(ids: Sequence[str]) -> Mapping[str, int]:
    """Where each id stands."""
    if isinstance(ids, SharedIds):
        return SharedRows(ids)
    return MappingProxyType({identifier: row for row, identifier in enumerate(ids)})


def longer_ids(ids: Sequence[str], added: Sequence[str]) -> Sequence[str]:
    """The ids with these after them."""
    return (*ids, *added) if isinstance(ids, tuple) else LongerIds(ids, tuple(added))


def longer_rows(rows: Mapping[str, int], added: Mapping[str, int]) -> Mapping[str, int]:
    """The rows with these after them."""
    if isinstance(rows, SharedRows):
        return LongerRows(rows, added)
    return MappingProxyType({**rows, **added})


def packed(ids: Sequence[str]) -> NDArray[np.uint8]:
    """The ids as bytes: their number, where each begins, sorted hashes, their rows, all texts."""
    texts = [identifier.encode() for identifier in ids]
    offsets = np.zeros(len(texts) + 1, _INT)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    hashes = np.fromiter(map(_hash, texts), _HASH, len(texts))
    rows = np.argsort(hashes, kind="stable").astype(_INT)
    parts = (np.array([len(texts)], _INT), offsets, hashes[rows], rows)
    whole = b"".join([*(part.tobytes() for part in parts), *texts])
    return np.frombuffer(whole, np.uint8)


def _hash(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def _mapped(path: Path) -> NDArray[np.uint8] | None:
    if not path.exists() or not path.stat().st_size:
        return None
    mapped: NDArray[np.uint8] = np.memmap(path, np.uint8, "r").view(np.ndarray)
    return mapped

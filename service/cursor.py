"""Where a list goes on: a cursor holds what was shown, so that no page repeats another.

It is complete in itself: any process can go on, and when the version was swapped in between, the
new one answers with what it knows best of what was not shown yet. Items are held as 40-bit hashes
of their ids, which mean the same in every version. With 1,000 items shown, one in a billion of the
others shares a hash with one of them and would be left out.
"""

import base64
import binascii
import hashlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidParameter
from service.snapshot import Snapshot

MAX_SHOWN = 1000
MAX_LENGTH = 8192

_FORMAT = 1
_ID_BYTES = 16
_REQUEST_BYTES = 8
_HASH_BYTES = 5
_HEAD_BYTES = 1 + _ID_BYTES + _REQUEST_BYTES
_KEPT_TABLES = 4
_ITEMS = "embeddings.safetensors:items"


@dataclass(frozen=True)
class Cursor:
    """What the pages so far have in common.

    Attributes:
        recommendation_id: 32 hexadecimal digits, the same on every page.
        request: the fingerprint of what is asked for; a cursor is of use for nothing else.
        shown: hashes of the items that were shown, in order.
    """

    recommendation_id: str
    request: bytes
    shown: tuple[bytes, ...] = ()

    def after(self, item_ids: Iterable[str]) -> "Cursor":
        """The cursor of the next page."""
        hashes = tuple(_hash(item_id) for item_id in item_ids)
        return Cursor(self.recommendation_id, self.request, self.shown + hashes)

    def encode(self) -> str:
        """As text that may stand in a URL."""
        head = bytes([_FORMAT]) + bytes.fromhex(self.recommendation_id) + self.request
        return base64.urlsafe_b64encode(head + b"".join(self.shown)).decode().rstrip("=")


def decode_cursor(text: str, request: bytes) -> Cursor:
    """Reads a cursor.

    Args:
        text: what `Cursor.encode` gave.
        request: the fingerprint of the request it came with.

    Raises:
        InvalidParameter: it is damaged, or belongs to another request.
    """
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    hashes = content[_HEAD_BYTES:]
    if len(content) < _HEAD_BYTES or content[0] != _FORMAT or len(hashes) % _HASH_BYTES:
        raise InvalidParameter(
            "cursor: this is no cursor of ours; send next_cursor of the last page as it was, or an"
            " empty cursor for the first page"
        )
    if content[1 + _ID_BYTES : _HEAD_BYTES] != request:
        raise InvalidParameter(
            "cursor: it belongs to another request; repeat everything but k on every page, or start"
            " again with an empty cursor"
        )
    shown = tuple(hashes[n : n + _HASH_BYTES] for n in range(0, len(hashes), _HASH_BYTES))
    return Cursor(content[1 : 1 + _ID_BYTES].hex(), request, shown)


def request_fingerprint(*parts: str | None) -> bytes:
    """Eight bytes that tell requests apart."""
    content = "\x00".join("-" if part is None else f"+{part}" for part in parts)
    return hashlib.blake2b(content.encode(), digest_size=_REQUEST_BYTES).digest()


def shown_rows(snapshot: Snapshot, cursor: Cursor) -> NDArray[np.int64]:
    """The rows [n] of the items that were shown, as far as the version has them."""
    if not cursor.shown:
        return np.zeros(0, np.int64)
    wanted = np.array([int.from_bytes(shown, "big") for shown in cursor.shown], np.int64)
    return np.flatnonzero(np.isin(_TABLES.of(snapshot), wanted)).astype(np.int64)


class _HashTables:
    """The hashes of the items of the latest versions, made when the first cursor needs them.

    What a version's artifact holds never changes, so only items that came later are hashed again.
    """

    def __init__(self) -> None:
        self._tables: dict[str, NDArray[np.int64]] = {}
        self._lock = threading.Lock()

    def of(self, snapshot: Snapshot) -> NDArray[np.int64]:
        """The hashes [I], in row order."""
        item_ids = snapshot.artifact.item_ids
        published = snapshot.artifact.manifest.tensors[_ITEMS].shape[0]
        with self._lock:
            table = self._tables.get(snapshot.version)
            if table is None:
                table = _hashes(item_ids[:published])
                self._tables[snapshot.version] = table
                while len(self._tables) > _KEPT_TABLES:
                    del self._tables[next(iter(self._tables))]
        return np.concatenate([table, _hashes(item_ids[published:])])


def _hashes(item_ids: Sequence[str]) -> NDArray[np.int64]:
    values = (int.from_bytes(_hash(item_id), "big") for item_id in item_ids)
    return np.fromiter(values, np.int64, len(item_ids))


def _hash(item_id: str) -> bytes:
    return hashlib.blake2b(item_id.encode(), digest_size=_HASH_BYTES).digest()


_TABLES = _HashTables()

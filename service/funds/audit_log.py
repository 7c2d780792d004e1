"""The audit log of a catalog: lines that are appended, never changed, each holding on to the last.

``<folder>/<first line's number>.jsonl`` are the files, oldest first; all workers append to the
newest under a lock. ``HEAD`` is written before the lines it speaks of: where the log ends and what
is being appended, so that a writer that dies in between loses nothing (the next one finishes its
work), and lines that vanish from the end are missed.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import JsonValue

from service.funds.audit_line import FIRST_PREVIOUS, chained, parsed
from service.versions import sync_folder

logger = logging.getLogger(__name__)

HEAD = "HEAD"
LOCK = "LOCK"
HEAD_LOST = "head lost"
"""The ``event`` of a line that the log itself adds when it finds its lines without a head."""

_FOLDER_MODE, _FILE_MODE, _CLOSED_MODE = 0o750, 0o640, 0o440


@dataclass(frozen=True)
class Head:
    """Where the log ends: the last append, and what it wrote.

    Attributes:
        seq: the number of the last line.
        hash: its hash.
        file: the file of the append.
        size: bytes of the file before it.
        lines: what was appended, with line breaks.
    """

    seq: int
    hash: str
    file: str
    size: int
    lines: str


class AuditLog:
    """One catalog's log; append from any thread of any process."""

    def __init__(self, folder: Path, *, rotate_bytes: int, fsync: bool) -> None:
        """Touches nothing yet.

        Args:
            folder: of this log alone.
            rotate_bytes: a file that has reached this size is closed and made read-only.
            fsync: force every append to the disk before it counts as written.
        """
        self._folder = folder
        self._rotate_bytes = rotate_bytes
        self._fsync = fsync

    def append(self, entries: Sequence[Mapping[str, JsonValue]]) -> None:
        """Writes a line per entry, all or none.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        with locked(self._folder, fcntl.LOCK_EX):
            head = self._recovered()
            if head is None and files_of(self._folder):
                head = self._after_loss()
            self._append(head, entries)

    def _append(self, head: Head | None, entries: Sequence[Mapping[str, JsonValue]]) -> None:
        seq, digest = (0, FIRST_PREVIOUS) if head is None else (head.seq, head.hash)
        name, size = self._target(head, seq + 1)
        lines = []
        for entry in entries:
            seq += 1
            line, digest = chained(entry, seq, digest)
            lines.append(line + "\n")
        new = Head(seq, digest, name, size, "".join(lines))
        self._write_head(new)
        self._write_lines(new)

    def _recovered(self) -> Head | None:
        """The head, after an append that died was finished."""
        head = read_head(self._folder)
        if head is None:
            return None
        path = self._folder / head.file
        size = path.stat().st_size if path.exists() else 0
        whole = head.size + len(head.lines.encode())
        if head.size <= size < whole:
            written = path.read_bytes()[head.size :] if size > head.size else b""
            if head.lines.encode().startswith(written):
                self._write_lines(head)
        return head

    def _after_loss(self) -> Head:
        """A head made from the last line that can be read; a line says that it was lost."""
        last = files_of(self._folder)[-1]
        seq, digest = int(last.stem) - 1, FIRST_PREVIOUS
        for line in last.read_text(encoding="utf-8", errors="replace").splitlines():
            found = parsed(line)
            if found is not None:
                seq, digest = int(str(found[0]["seq"])), found[1]
        logger.error("%s has lost its HEAD; a line says so", self._folder)
        self._append(Head(seq, digest, last.name, last.stat().st_size, ""), [{"event": HEAD_LOST}])
        head = read_head(self._folder)
        assert head is not None
        return head

    def _target(self, head: Head | None, first: int) -> tuple[str, int]:
        """The file to append to and its size; a new one when the last is full or not as it was."""
        name = f"{first:012d}.jsonl"
        if head is None:
            return name, 0
        path = self._folder / head.file
        size = path.stat().st_size if path.exists() else -1
        if size == head.size + len(head.lines.encode()) and size < self._rotate_bytes:
            return head.file, size
        if size >= 0:
            path.chmod(_CLOSED_MODE)
        return name, 0

    def _write_head(self, head: Head) -> None:
        draft = self._folder / f".{HEAD}"
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(head), file)
            self._sync(file.fileno())
        draft.replace(self._folder / HEAD)
        if self._fsync:
            sync_folder(self._folder)

    def _write_lines(self, head: Head) -> None:
        path = self._folder / head.file
        handle = os.open(path, os.O_WRONLY | os.O_CREAT, _FILE_MODE)
        try:
            # An append that died may have left a part; the whole is written over it.
            left = memoryview(head.lines.encode())
            offset = head.size
            while left:
                written = os.pwrite(handle, left, offset)
                left, offset = left[written:], offset + written
            self._sync(handle)
        finally:
            os.close(handle)
        if head.size == 0 and self._fsync:
            sync_folder(self._folder)

    def _sync(self, handle: int) -> None:
        if self._fsync:
            os.fsync(handle)


@contextmanager
def locked(folder: Path, kind: int) -> Iterator[None]:
    """Holds the log's lock; the kernel drops it when its holder dies.

    Args:
        folder: of the log; it is made if it is not there and the lock is an exclusive one.
        kind: ``fcntl.LOCK_EX`` to append, ``fcntl.LOCK_SH`` to look.
    """
    if kind == fcntl.LOCK_EX:
        folder.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
    with (folder / LOCK).open("a" if kind == fcntl.LOCK_EX else "r") as lock:
        fcntl.flock(lock, kind)
        yield


def files_of(folder: Path) -> list[Path]:
    """The log's files, oldest first."""
    return sorted(path for path in folder.glob("*.jsonl") if path.stem.isdigit())


def read_head(folder: Path) -> Head | None:
    """Where the log says it ends; None where it says nothing that can be understood."""
    try:
        content = json.loads((folder / HEAD).read_text(encoding="utf-8"))
        return Head(**content)
    except (FileNotFoundError, ValueError, TypeError):
        return None

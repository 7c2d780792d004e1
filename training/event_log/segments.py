"""The files of a log: their names, and how they are written, found and replaced."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from service.events import partition_name
from training.event_log.schema import StreamId, write_table
from training.files import replacing, sync, taking

_NAME = re.compile(r"p(\d\d)-(\d+)\.(\d+)-(\d+)\.(\d+)\.parquet")
_DRAFT = re.compile(r"\.[0-9a-f]{12}-p\d\d-.*\.parquet")


@dataclass(frozen=True, order=True)
class Segment:
    """A file and what its name says: the partition and its first and last stream id."""

    partition: int
    first: StreamId
    last: StreamId
    path: Path

    @classmethod
    def of(cls, path: Path) -> "Segment | None":
        """What a file's name says, None when it is no segment's."""
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        partition, first_ms, first_seq, last_ms, last_seq = map(int, match.groups())
        return cls(partition, (first_ms, first_seq), (last_ms, last_seq), path)


def day_of(epoch_ms: int) -> str:
    """The folder of a moment."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d")


def segments(folder: Path) -> list[Segment]:
    """Every segment of a log, by name; hold `reading` or `changing` meanwhile."""
    found = (Segment.of(path) for path in sorted(folder.glob("*/*.parquet")))
    return [segment for segment in found if segment is not None]


def drafts(folder: Path) -> list[Path]:
    """What killed writers left behind; nothing reads it."""
    return [path for path in sorted(folder.glob("*/.*.parquet")) if _DRAFT.fullmatch(path.name)]


def write_segment(
    folder: Path, partition: int, first: StreamId, last: StreamId, table: pa.Table
) -> Path:
    """Write a segment completely, on the disk, or not at all; one of that name is replaced."""
    name = f"{partition_name(partition)}-{first[0]}.{first[1]}-{last[0]}.{last[1]}.parquet"
    target = folder / day_of(first[0]) / name
    is_new_log = not folder.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as draft:
        write_table(table, draft)
    sync(folder)
    if is_new_log:
        sync(folder.parent)
    return target


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Keep compaction and erasure from replacing segments; drains and other readers may go on."""
    with taking(folder, wait=True, shared=True):
        yield


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Be the one who replaces segments, with no reader at work."""
    with taking(folder, wait=True):
        yield

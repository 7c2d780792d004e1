"""Making the log forget a user or an item."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
from redis import Redis

from service.artifact import erasures_name
from service.events import PARTITIONS, Tombstone, keys_of
from training.event_log.schema import read_table
from training.event_log.segments import Segment, changing, reading, segments, write_segment
from training.event_log.state import (
    COLUMNS,
    Kind,
    LogState,
    erased_rows,
    read_state,
    write_state,
)
from training.files import taking

logger = logging.getLogger(__name__)

# What decides whether a row is erased.
_DECIDING = ("partition", "stream_ms", "stream_seq", "timestamp", "user_id", "item_id")


def forget_waiting(client: Redis, catalog: str, folder: Path) -> int:
    """Carry out what waits, without draining; returns how many erasures there were."""
    with taking(folder.with_name(folder.name + ".drain"), wait=True):
        return carry_out(client, catalog, folder)


def traces(folder: Path, kind: Kind, identifier: str) -> int:
    """How many rows of the files are of a user or an item."""
    column = COLUMNS[kind]
    with reading(folder):
        tables = [read_table(segment.path, [column]) for segment in segments(folder)]
    found = (pc.sum(pc.equal(table[column], identifier)).as_py() for table in tables)
    return sum(int(count or 0) for count in found)


def carry_out(client: Redis, catalog: str, folder: Path) -> int:
    """Apply the erasures that wait in Redis to the log; returns how many there were.

    From the moment the log's state says so, no reader sees the events; then the segments are
    rewritten without them, then the tombstones leave Redis. A kill in between repeats the rest.
    """
    num_erasures = 0
    for partition in range(PARTITIONS):
        stream = keys_of(catalog, partition).erasures
        entries = cast("Sequence[tuple[bytes, Mapping[bytes, bytes]]]", client.xrange(stream))
        if not entries:
            continue
        found = {entry_id.decode(): Tombstone.decode(fields) for entry_id, fields in entries}
        of_users = [entry_id for entry_id, one in found.items() if one.kind == "user"]
        carried = {erasures_name(partition): entry_id for entry_id in of_users[-1:]}
        erase(folder, [*found.values()], carried)
        client.xdel(stream, *(entry_id for entry_id, _ in entries))
        num_erasures += len(entries)
    return num_erasures


def erase(
    folder: Path, tombstones: Sequence[Tombstone], carried: Mapping[str, str] | None = None
) -> None:
    """Forget users and items: rewrite every segment that knows them.

    Args:
        folder: A catalog's event log.
        tombstones: Who is forgotten.
        carried: By `erasures_name`, the stream id of a partition's last tombstone of a user.
    """
    with changing(folder):
        state = before = read_state(folder)
        for tombstone in tombstones:
            state = state.with_erasure(tombstone)
        if carried:
            state = replace(state, carried={**state.carried, **carried})
        if state is not before:
            write_state(folder, state)
        num_rows = sum(_rewrite(folder, segment, state) for segment in segments(folder))
    logger.info("erased users_or_items=%d rows=%d", len(tombstones), num_rows)


def purge(folder: Path, paths: Sequence[Path]) -> None:
    """Forget in segments written just now what was erased while they were being written."""
    state = read_state(folder)
    if not state.erasures or not paths:
        return
    with changing(folder):
        for segment in map(Segment.of, paths):
            if segment is not None and segment.path.exists():
                _rewrite(folder, segment, state)


def _rewrite(folder: Path, segment: Segment, state: LogState) -> int:
    """Write a segment anew without what was erased; returns how many rows that was."""
    erased = erased_rows(read_table(segment.path, _DECIDING), state)
    num_rows = int(pc.sum(erased).as_py() or 0)
    if num_rows:
        kept = read_table(segment.path).filter(pc.invert(erased))
        # The name stays, even of one that is empty now: it says how far the log goes.
        write_segment(folder, segment.partition, segment.first, segment.last, kept)
    return num_rows


def count_erased(table: pa.Table, state: LogState) -> int:
    """How many rows should not be there."""
    return int(pc.sum(erased_rows(table, state)).as_py() or 0)

"""Making one segment per partition and day of many, without repeated events."""

import logging
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.event_log.erasing import count_erased
from training.event_log.reading import first_rows
from training.event_log.schema import SCHEMA, STREAM_ORDER, read_table
from training.event_log.segments import (
    Segment,
    changing,
    drafts,
    segments,
    write_segment,
)
from training.event_log.state import LogState, erased_rows, read_state
from training.files import sync

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompactionReport:
    """Files and rows before and after, and what was taken out."""

    segments_before: int
    segments_after: int
    rows_before: int
    rows_after: int
    num_erased: int
    num_drafts: int

    @property
    def num_repeated(self) -> int:
        """Rows that repeated an event_id."""
        return self.rows_before - self.rows_after - self.num_erased


def compact(folder: Path) -> CompactionReport:
    """Merge the segments of every partition and day; of an event_id the first row taken stays.

    What is merged is written before its sources are deleted. A kill in between leaves both, which
    readers take for one, and the next compaction ends the work.

    Raises:
        SchemaError: A segment has another schema, or a newer one than this program knows.
        SegmentDamaged: A segment cannot be read; nothing was changed.
    """
    with changing(folder):
        before, state = segments(folder), read_state(folder)
        left_over = drafts(folder)
        keep = _rows_to_keep(before)
        groups: dict[tuple[str, int], list[Segment]] = defaultdict(list)
        for segment in before:
            groups[segment.path.parent.name, segment.partition].append(segment)
        num_erased = 0
        for group in groups.values():
            num_erased += _merge(folder, group, keep, state)
        for draft in left_over:
            draft.unlink(missing_ok=True)
        after = segments(folder)
        rows_after = sum(_num_rows(segment) for segment in after)
    rows_before = sum(len(kept) for kept in keep.values())
    logger.info("compacted segments=%d to=%d", len(before), len(after))
    return CompactionReport(
        len(before), len(after), rows_before, rows_after, num_erased, len(left_over)
    )


def _rows_to_keep(found: list[Segment]) -> dict[Path, NDArray[np.bool_]]:
    """Per segment, which rows are the first of their event_id in the whole log."""
    columns = [*STREAM_ORDER, "event_id"]
    tables = [read_table(segment.path, columns) for segment in found]
    keep = {
        segment.path: np.zeros(table.num_rows, dtype=bool)
        for segment, table in zip(found, tables, strict=True)
    }
    if not found:
        return keep
    everything = pa.concat_tables(tables)
    place = np.concatenate([np.full(table.num_rows, n) for n, table in enumerate(tables)])
    row = np.concatenate([np.arange(table.num_rows) for table in tables])
    order = pc.sort_indices(everything, [(name, "ascending") for name in STREAM_ORDER]).to_numpy()
    first = order[first_rows(everything.select(["event_id"]).take(pa.array(order)))]
    for number, segment in enumerate(found):
        mine = first[place[first] == number]
        keep[segment.path][row[mine]] = True
    return keep


def _merge(
    folder: Path, group: list[Segment], keep: dict[Path, NDArray[np.bool_]], state: LogState
) -> int:
    """Merge segments of a partition and day; returns how many erased rows were left out."""
    tables = [read_table(segment.path).filter(pa.array(keep[segment.path])) for segment in group]
    table = pa.concat_tables([SCHEMA.empty_table(), *tables])
    num_erased = count_erased(table, state)
    is_whole = all(keep[segment.path].all() for segment in group)
    if len(group) == 1 and is_whole and not num_erased:
        return 0
    table = table.filter(pc.invert(erased_rows(table, state)))
    table = table.sort_by([(name, "ascending") for name in STREAM_ORDER])
    first, last = min(s.first for s in group), max(s.last for s in group)
    merged = write_segment(folder, group[0].partition, first, last, table)
    for segment in group:
        if segment.path != merged:
            segment.path.unlink()
    sync(merged.parent)
    return num_erased


def _num_rows(segment: Segment) -> int:
    return int(read_table(segment.path, ["partition"]).num_rows)

"""Whether a log is what was written: counts, repetitions, damage."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.events import partition_of
from training.errors import DataError
from training.event_log.erasing import count_erased
from training.event_log.reading import first_rows
from training.event_log.schema import IMPORTED, STREAM_ORDER, read_table
from training.event_log.segments import Segment, day_of, drafts, reading, segments
from training.event_log.state import LogState, read_state


@dataclass(frozen=True)
class LogReport:
    """What is in a log.

    Attributes:
        num_segments: Files.
        num_rows: Rows of the files that can be read.
        num_events: Distinct event_ids among them.
        num_erased: Rows of erased users and items, which should be gone.
        num_drafts: Files of killed writers; nothing reads them.
        faults: What is wrong, one sentence with the file each.
    """

    num_segments: int
    num_rows: int
    num_events: int
    num_erased: int
    num_drafts: int
    faults: Sequence[str]

    @property
    def num_repeated(self) -> int:
        """Rows that repeat an event; readers skip them and compaction removes them."""
        return self.num_rows - self.num_events

    @property
    def is_sound(self) -> bool:
        """Whether every file is whole and nothing erased is left."""
        return not self.faults and not self.num_erased


def verify(folder: Path) -> LogReport:
    """Read every page of a log against its checksum, and every row against the file's name.

    Raises:
        SchemaError: ``log.json`` cannot be understood.
    """
    with reading(folder):
        found, state = segments(folder), read_state(folder)
        tables, faults, num_erased = [], [], 0
        for segment in found:
            try:
                table = read_table(segment.path)
            except DataError as error:
                faults.append(str(error))
                continue
            faults += _mismatches(segment, table)
            num_erased += _num_erased(table, state)
            tables.append(table.select([*STREAM_ORDER, "event_id"]))
        num_drafts = len(drafts(folder))
    everything = pa.concat_tables(tables) if tables else None
    return LogReport(
        num_segments=len(found),
        num_rows=0 if everything is None else everything.num_rows,
        num_events=0 if everything is None else len(first_rows(everything)),
        num_erased=num_erased,
        num_drafts=num_drafts,
        faults=faults,
    )


def _num_erased(table: pa.Table, state: LogState) -> int:
    return count_erased(table, state) if state.erasures else 0


def _mismatches(segment: Segment, table: pa.Table) -> list[str]:
    """What the rows of a file say against its name and place."""
    if segment.path.parent.name != day_of(segment.first[0]):
        return [f"{segment.path} lies in the folder of another day; move it where it was"]
    if not table.num_rows:
        return []
    ids = np.stack([table[name].to_numpy() for name in ("stream_ms", "stream_seq")])
    first, last = (tuple(map(int, ids[:, n])) for n in (0, -1))
    in_order = bool((np.lexsort(ids[::-1]) == np.arange(ids.shape[1])).all())
    in_name = segment.first <= first and last <= segment.last
    in_partition = pc.all(pc.equal(table["partition"], segment.partition)).as_py()
    users = pc.unique(table["user_id"]).to_pylist()
    in_hash = segment.partition == IMPORTED or all(
        partition_of(user_id) == segment.partition for user_id in users
    )
    if in_order and in_name and in_partition and in_hash:
        return []
    return [
        f"{segment.path} holds other events than its name says; put a backup of it in its place"
    ]

"""Reading the log: every event once."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.events import partition_name
from training.event_log.schema import IMPORTED, SCHEMA, STREAM_ORDER, read_table, stream_id
from training.event_log.segments import reading, segments
from training.event_log.state import erased_rows, read_state, with_erasures


def watermark_of(folder: Path) -> dict[str, str]:
    """Return how far a log goes; a log with another watermark has other events.

    Returns:
        Partition (``p07``, ``p16`` for imported events) to its last stream id. ``erased`` and
        ``late``, where there are such, count erasures and events that were written behind later
        ones; ``p07-erased`` is the last erasure of a partition that the log carried out.
    """
    with reading(folder):
        last: dict[str, tuple[int, int]] = {}
        for segment in segments(folder):
            name = partition_name(segment.partition)
            last[name] = max(segment.last, last.get(name, segment.last))
        state = read_state(folder)
    watermark = {name: f"{ms}-{seq}" for name, (ms, seq) in sorted(last.items())}
    counts = {"erased": state.num_erasures, "late": state.num_late}
    watermark |= {name: str(count) for name, count in counts.items() if count}
    return watermark | dict(sorted(state.carried.items()))


def read_events(folder: Path, watermark: Mapping[str, str] | None = None) -> pa.Table:
    """Read the log: one row per event_id (the first one taken), by time, then stream order.

    Args:
        folder: A catalog's event log; it need not exist yet.
        watermark: Only events up to these stream ids; partitions not named have none.

    Returns:
        A table of `SCHEMA`, without events of erased users and items. Its metadata says who was
        erased, so that what it is merged with can forget them, too.

    Raises:
        SchemaError: A segment has another schema, or a newer one than this program knows.
        SegmentDamaged: A segment cannot be read.
    """
    with reading(folder):
        tables = [read_table(segment.path) for segment in segments(folder)]
        state = read_state(folder)
    table = pa.concat_tables([SCHEMA.empty_table(), *tables])
    if watermark is not None:
        table = table.filter(_up_to(table, watermark))
    table = table.filter(pc.invert(erased_rows(table, state)))
    order = [(name, "ascending") for name in STREAM_ORDER]
    table = with_erasures(table.sort_by(order), state)
    return table.take(pa.array(first_rows(table))).sort_by([("timestamp", "ascending"), *order])


def first_rows(table: pa.Table) -> NDArray[np.int64]:
    """The first row of every event_id, ascending."""
    if table.num_rows == 0:
        return np.zeros(0, np.int64)
    codes = table.column("event_id").combine_chunks().dictionary_encode().indices
    return np.sort(np.unique(codes.to_numpy(zero_copy_only=False), return_index=True)[1])


def _up_to(table: pa.Table, watermark: Mapping[str, str]) -> pa.Array:
    mask = pa.array(np.zeros(table.num_rows, dtype=bool))
    for partition in range(IMPORTED + 1):
        last = watermark.get(partition_name(partition))
        if last is None:
            continue
        ms, seq = stream_id(last.encode())
        at_most = pc.or_(
            pc.less(table["stream_ms"], ms),
            pc.and_(pc.equal(table["stream_ms"], ms), pc.less_equal(table["stream_seq"], seq)),
        )
        mask = pc.or_(mask, pc.and_(pc.equal(table["partition"], partition), at_most))
    return mask

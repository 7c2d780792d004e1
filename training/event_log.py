"""The event log: what the service took, moved from Redis streams to Parquet files for good.

``<folder>/<YYYY-MM-DD>/p07-<first id>-<last id>.parquet`` is a segment: written under another
name, fsynced, renamed, never changed. Only then are its entries acknowledged and trimmed. Whatever
dies in between is repeated by the next drain; readers count an event once per ``event_id``.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from redis import Redis
from redis.exceptions import ResponseError

from service.events import (
    EVENT_LOG_GROUP,
    PARTITIONS,
    Interaction,
    decode_event,
    keys_of,
    partition_name,
)
from training.errors import SchemaError
from training.files import replacing, sync

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
CONSUMER = "drain"
_VERSION_KEY = b"mutualrec.schema_version"
_SEGMENT = re.compile(r"(p\d\d)-(\d+)\.(\d+)-(\d+)\.(\d+)\.parquet")

SCHEMA = pa.schema(
    [
        pa.field("partition", pa.int8(), nullable=False),
        pa.field("stream_ms", pa.int64(), nullable=False),
        pa.field("stream_seq", pa.int64(), nullable=False),
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("timestamp", pa.int64(), nullable=False),
        pa.field("recommendation_id", pa.string()),
        pa.field("position", pa.int32()),
        pa.field("context", pa.string()),
    ],
    metadata={_VERSION_KEY: str(SCHEMA_VERSION).encode()},
)

StreamId = tuple[int, int]
# What XREADGROUP gives for one entry; the fields are None when the entry was deleted.
_Entry = tuple[bytes, Mapping[bytes, bytes] | None]


@dataclass(frozen=True)
class DrainReport:
    """What one drain did.

    Attributes:
        num_entries: Stream entries written now, repetitions of a killed drain included.
        segments: The files written now.
        watermark: Partition (``p07``) to the last stream id in the log, as `watermark_of` says.
    """

    num_entries: int
    segments: tuple[Path, ...]
    watermark: Mapping[str, str]


def drain(
    client: Redis,
    catalog: str,
    folder: Path,
    *,
    batch_size: int = 10_000,
    consumer: str = CONSUMER,
) -> DrainReport:
    """Move every event of a catalog that is in Redis now into the log.

    It can die anywhere and be run again. One drain per consumer name at a time; two at once would
    lose nothing, but write some entries twice.

    Args:
        client: Connection to the service's Redis, replies undecoded.
        catalog: Catalog to drain.
        folder: The catalog's event log.
        batch_size: Most entries per segment.
        consumer: Name in the consumer group. A killed drain's entries come back under the same
            name only.
    """
    segments: list[Path] = []
    num_entries = 0
    for partition in range(PARTITIONS):
        stream = keys_of(catalog, partition).events
        if not client.exists(stream):
            continue
        _ensure_group(client, stream)
        for entries in _batches(client, stream, consumer, batch_size):
            segment = _write_segment(folder, partition, entries)
            if segment is not None:
                segments.append(segment)
            num_entries += len(entries)
            client.xack(stream, EVENT_LOG_GROUP, *(entry_id for entry_id, _ in entries))
        _trim(client, stream)
    report = DrainReport(num_entries, tuple(segments), watermark_of(folder))
    logger.info("drained catalog=%s entries=%d segments=%d", catalog, num_entries, len(segments))
    return report


def watermark_of(folder: Path) -> dict[str, str]:
    """Return the last stream id of every partition that has a segment in the log."""
    last: dict[str, StreamId] = {}
    for _, match in _segments(folder):
        name, end = match[1], (int(match[4]), int(match[5]))
        last[name] = max(end, last.get(name, end))
    return {name: f"{ms}-{seq}" for name, (ms, seq) in sorted(last.items())}


def read_events(folder: Path, watermark: Mapping[str, str] | None = None) -> pa.Table:
    """Read the log: one row per event_id (the first one taken), by time, then stream order.

    Args:
        folder: A catalog's event log; it need not exist yet.
        watermark: Only events up to these stream ids; partitions not named have none.

    Returns:
        A table of `SCHEMA`.

    Raises:
        SchemaError: A segment has another schema, or a newer one than this program knows.
    """
    tables = [_read_segment(path) for path, _ in _segments(folder)]
    table = pa.concat_tables([SCHEMA.empty_table(), *tables])
    if watermark is not None:
        table = table.filter(_up_to(table, watermark))
    taken = [("stream_ms", "ascending"), ("partition", "ascending"), ("stream_seq", "ascending")]
    table = table.sort_by(taken)
    codes = table.column("event_id").combine_chunks().dictionary_encode().indices
    first = np.unique(codes.to_numpy(zero_copy_only=False), return_index=True)[1]
    return table.take(pa.array(np.sort(first))).sort_by([("timestamp", "ascending"), *taken])


def _ensure_group(client: Redis, stream: str) -> None:
    try:
        client.xgroup_create(stream, EVENT_LOG_GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def _batches(
    client: Redis, stream: str, consumer: str, batch_size: int
) -> Iterator[Sequence[_Entry]]:
    """First what a killed drain left unacknowledged, then what is new."""
    for start in ("0", ">"):
        while entries := _read_group(client, stream, consumer, start, batch_size):
            yield entries


def _read_group(
    client: Redis, stream: str, consumer: str, start: str, batch_size: int
) -> Sequence[_Entry]:
    # Every batch is acknowledged before the next is read, so pending entries start at 0 again.
    reply = client.xreadgroup(EVENT_LOG_GROUP, consumer, {stream: start}, count=batch_size)
    if not reply:
        return []
    # The library's reply is a list of pairs over RESP2 and a mapping over RESP3.
    values = list(reply.values())[0] if isinstance(reply, dict) else reply[0][1]  # noqa: RUF015
    if values and isinstance(values[0], list) and values[0] and isinstance(values[0][0], tuple):
        values = values[0]
    return cast("Sequence[_Entry]", values)


def _write_segment(folder: Path, partition: int, entries: Sequence[_Entry]) -> Path | None:
    rows = [(_stream_id(entry_id), decode_event(fields)) for entry_id, fields in entries if fields]
    if len(rows) < len(entries):
        logger.warning(
            "partition=%d has %d entries deleted before they were drained",
            partition,
            len(entries) - len(rows),
        )
    if not rows:
        return None
    (first_ms, first_seq), (last_ms, last_seq) = rows[0][0], rows[-1][0]
    day = datetime.fromtimestamp(first_ms / 1000, UTC).strftime("%Y-%m-%d")
    name = f"{partition_name(partition)}-{first_ms}.{first_seq}-{last_ms}.{last_seq}.parquet"
    target = folder / day / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as draft:
        pq.write_table(_table(partition, rows), draft, compression="zstd")
    sync(folder)
    return target


def _table(partition: int, rows: Sequence[tuple[StreamId, Interaction]]) -> pa.Table:
    records = [
        {
            "partition": partition,
            "stream_ms": ms,
            "stream_seq": seq,
            "event_id": event.event_id,
            "user_id": event.user_id,
            "item_id": event.item_id,
            "type": event.type,
            "value": event.value,
            "timestamp": event.timestamp,
            "recommendation_id": event.recommendation_id,
            "position": event.position,
            "context": None if event.context is None else json.dumps(event.context),
        }
        for (ms, seq), event in rows
    ]
    return pa.Table.from_pylist(records, schema=SCHEMA)


def _trim(client: Redis, stream: str) -> None:
    """Removes what every consumer group has acknowledged, and nothing else."""
    needed = [_first_needed(client, stream, group) for group in client.xinfo_groups(stream)]
    ms, seq = min(needed)
    client.xtrim(stream, minid=f"{ms}-{seq}", approximate=False)


def _first_needed(client: Redis, stream: str, group: Mapping[str, object]) -> StreamId:
    if group["pending"]:
        pending = client.xpending(stream, cast(bytes, group["name"]))
        return _stream_id(pending["min"])
    ms, seq = _stream_id(cast(bytes, group["last-delivered-id"]))
    return ms, seq + 1


def _segments(folder: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    for path in sorted(folder.glob("*/*.parquet")):
        match = _SEGMENT.fullmatch(path.name)
        if match:
            yield path, match


def _read_segment(path: Path) -> pa.Table:
    # ParquetFile, not read_table: the latter would take folder names for a partitioning.
    with pq.ParquetFile(path) as file:
        version = (file.schema_arrow.metadata or {}).get(_VERSION_KEY, b"0")
        if int(version) != SCHEMA_VERSION:
            raise SchemaError(
                f"{path} has event schema {int(version)}, this program reads {SCHEMA_VERSION}; "
                "use the program version that wrote it"
            )
        table = file.read()
    if not table.schema.equals(SCHEMA):
        raise SchemaError(f"{path} has columns {table.schema.names}, not those of the event log")
    return table


def _up_to(table: pa.Table, watermark: Mapping[str, str]) -> pa.Array:
    mask = pa.array(np.zeros(table.num_rows, dtype=bool))
    for partition in range(PARTITIONS):
        last = watermark.get(partition_name(partition))
        if last is None:
            continue
        ms, seq = _stream_id(last.encode())
        at_most = pc.or_(
            pc.less(table["stream_ms"], ms),
            pc.and_(pc.equal(table["stream_ms"], ms), pc.less_equal(table["stream_seq"], seq)),
        )
        mask = pc.or_(mask, pc.and_(pc.equal(table["partition"], partition), at_most))
    return mask


def _stream_id(text: bytes) -> StreamId:
    ms, _, seq = text.partition(b"-")
    return int(ms), int(seq)

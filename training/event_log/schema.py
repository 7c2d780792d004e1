"""What a segment of the event log holds."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from service.events import PARTITIONS, Interaction
from training.errors import SchemaError, SegmentDamaged

SCHEMA_VERSION = 1
IMPORTED = PARTITIONS
"""Stands for the partition of events that came by no stream."""
_VERSION_KEY = b"mutualrec.schema_version"

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
STREAM_ORDER = ("stream_ms", "partition", "stream_seq")

StreamId = tuple[int, int]


def stream_id(text: bytes) -> StreamId:
    """The two numbers of ``<ms>-<sequence>``."""
    ms, _, seq = text.partition(b"-")
    return int(ms), int(seq)


def table_of(partition: int, rows: Sequence[tuple[StreamId, Interaction]]) -> pa.Table:
    """Events of a partition as a table of `SCHEMA`."""
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


def write_table(table: pa.Table, path: Path) -> None:
    """Write rows as a Parquet file whose pages carry checksums."""
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a segment, all of its columns or some.

    Raises:
        SchemaError: It has another schema, or a newer one than this program knows.
        SegmentDamaged: It cannot be read.
    """
    try:
        # ParquetFile, not read_table: the latter would take folder names for a partitioning.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _check_schema(path, file.schema_arrow)
            return file.read(columns=None if columns is None else list(columns))
    except SchemaError:
        raise
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SegmentDamaged(
            f"{path} is damaged ({error}); put a backup of it in its place, or delete it to go on"
            " without its events (`mutualrec events verify` lists every such file)"
        ) from error


def _check_schema(path: Path, schema: pa.Schema) -> None:
    version = (schema.metadata or {}).get(_VERSION_KEY, b"0").decode()
    if version != str(SCHEMA_VERSION):
        raise SchemaError(
            f"{path} has event schema {version}, this program reads {SCHEMA_VERSION}; "
            "use the program version that wrote it"
        )
    if not schema.equals(SCHEMA):
        raise SchemaError(f"{path} has columns {schema.names}, not those of the event log")

"""Events as files to carry elsewhere: JSON lines and Parquet."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from service.events import Interaction, partition_name
from training.errors import SchemaError
from training.event_log.reading import read_events, watermark_of
from training.event_log.schema import (
    IMPORTED,
    SCHEMA,
    StreamId,
    stream_id,
    table_of,
    write_table,
)
from training.event_log.segments import write_segment
from training.event_log.state import erased_rows, read_state
from training.files import replacing, taking

FIELDS = tuple(name for name in SCHEMA.names if not name.startswith(("partition", "stream_")))
"""What an event is, without its place in a stream."""
REQUIRED = ("event_id", "user_id", "item_id", "type", "timestamp")
_SHOWN_FAULTS = 5
_ROWS_AT_ONCE = 10_000

Record = Mapping[str, object]


@dataclass(frozen=True)
class ImportReport:
    """Result of one import; ``read = added + known + erased`` always holds."""

    read: int
    added: int
    known: int
    erased: int


def export_events(folder: Path, target: Path) -> int:
    """Write every event of a log into one file, once each, by time; returns how many.

    Args:
        folder: A catalog's event log.
        target: ``.jsonl`` or ``.ndjson``, a line of which is what POST /interactions takes, or
            ``.parquet`` with the log's columns. It is written completely or not at all.

    Raises:
        SchemaError: The target has another suffix, or a segment cannot be used.
    """
    kind = _kind(target)
    table = read_events(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as draft:
        if kind == "parquet":
            write_table(table, draft)
        else:
            with draft.open("w", encoding="utf-8") as file:
                for record in records_of(table):
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return int(table.num_rows)


def events_of(folder: Path, user_id: str) -> Iterator[Record]:
    """A user's events in a log, once each, by time."""
    table = read_events(folder)
    return records_of(table.filter(pc.equal(table["user_id"], user_id)))


def records_of(table: pa.Table) -> Iterator[Record]:
    """Rows of the log as POST /interactions takes them; fields that say nothing are left out."""
    for batch in table.select(list(FIELDS)).to_batches(_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            if row["context"] is not None:
                row["context"] = json.loads(row["context"])
            yield {name: value for name, value in row.items() if value is not None}


def import_events(
    folder: Path, source: Path, *, clock: Callable[[], float] = time.time
) -> ImportReport:
    """Add the events of a file to a log, all or none; those it knows by event_id are skipped.

    The next retraining learns from them; the histories of a running service do not change.

    Args:
        folder: A catalog's event log.
        source: As `export_events` writes it. Every event needs its event_id and timestamp.
        clock: Seconds since the epoch.

    Raises:
        SchemaError: A line or row is no event; nothing was imported.
    """
    now_ms = int(clock() * 1000)
    events = _checked(source, now_ms)
    with taking(folder.with_name(folder.name + ".drain"), wait=True):
        known = set(read_events(folder).column("event_id").to_pylist())
        fresh = {event.event_id: event for event in events if event.event_id not in known}
        ms = _next_ms(folder, now_ms)
        rows: list[tuple[StreamId, Interaction]] = [
            ((ms, number), event) for number, event in enumerate(fresh.values())
        ]
        table = table_of(IMPORTED, rows)
        erased = erased_rows(table, read_state(folder))
        table = table.filter(pc.invert(erased))
        if table.num_rows:
            write_segment(folder, IMPORTED, (ms, 0), (ms, len(rows) - 1), table)
    num_erased = len(rows) - table.num_rows
    return ImportReport(len(events), table.num_rows, len(events) - len(rows), num_erased)


def _next_ms(folder: Path, now_ms: int) -> int:
    last = watermark_of(folder).get(partition_name(IMPORTED))
    return now_ms if last is None else max(now_ms, stream_id(last.encode())[0] + 1)


def _checked(source: Path, now_ms: int) -> list[Interaction]:
    events: list[Interaction] = []
    faults: list[str] = []
    num_faults = 0
    reader = _read_parquet if _kind(source) == "parquet" else _read_lines
    for number, record in enumerate(reader(source), start=1):
        try:
            events.append(_event(record, now_ms))
        except ValueError as error:
            num_faults += 1
            if len(faults) < _SHOWN_FAULTS:
                faults.append(f"line {number}: {_explain(error)}")
    if num_faults:
        more = f"; and {num_faults - len(faults)} more" if num_faults > len(faults) else ""
        raise SchemaError(
            f"{source}: {num_faults} lines are no events, nothing was imported: "
            f"{'; '.join(faults)}{more}"
        )
    return events


def _event(record: object, now_ms: int) -> Interaction:
    if not isinstance(record, dict):
        raise ValueError("no JSON object with the fields of an event")
    missing = [name for name in REQUIRED if record.get(name) is None]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing; an import needs {', '.join(REQUIRED)}")
    return Interaction.model_validate(record, context={"now_ms": now_ms})


def _explain(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    return ", ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in faults)


def _read_lines(source: Path) -> Iterator[object]:
    with source.open("rb") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                yield None


def _read_parquet(source: Path) -> Iterator[object]:
    try:
        with pq.ParquetFile(source) as file:
            names = [name for name in FIELDS if name in file.schema_arrow.names]
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=names):
                yield from records_of(_completed(pa.Table.from_batches([batch])))
    except (pa.ArrowException, json.JSONDecodeError) as error:
        raise SchemaError(f"{source} is no Parquet file of events: {error}") from error


def _completed(table: pa.Table) -> pa.Table:
    for name in FIELDS:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows))
    types = pa.schema([pa.field(name, SCHEMA.field(name).type) for name in FIELDS])
    return table.select(list(FIELDS)).cast(types)


def _kind(path: Path) -> str:
    kinds = {".jsonl": "lines", ".ndjson": "lines", ".parquet": "parquet"}
    if path.suffix not in kinds:
        raise SchemaError(f"{path}: the name must end with {', '.join(kinds)}")
    return kinds[path.suffix]

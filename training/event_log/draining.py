"""Moving events from Redis streams into the log."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import cast

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from service.events import EVENT_LOG_GROUP, PARTITIONS, Interaction, decode_event, keys_of
from training.event_log.erasing import carry_out, purge
from training.event_log.reading import watermark_of
from training.event_log.schema import StreamId, stream_id, table_of
from training.event_log.segments import day_of, write_segment
from training.event_log.state import note_late
from training.files import taking

logger = logging.getLogger(__name__)

CONSUMER = "drain"
CLAIM_AFTER_S = 600.0
"""A batch is written within seconds; a consumer that took longer is dead."""

_CLAIMED_AT_ONCE = 1000

# What XREADGROUP gives for one entry; the fields are None when the entry was deleted.
_Entry = tuple[bytes, Mapping[bytes, bytes] | None]


@dataclass(frozen=True)
class DrainReport:
    """What one drain did.

    Attributes:
        num_entries: Stream entries written now, repetitions of a killed drain included.
        segments: The files written now.
        watermark: How far the log goes, as `watermark_of` says.
        num_claimed: Entries taken over from other consumers, which must be dead.
        num_erasures: Erasures carried out now.
    """

    num_entries: int
    segments: tuple[Path, ...]
    watermark: Mapping[str, str]
    num_claimed: int = 0
    num_erasures: int = 0


def drain(
    client: Redis,
    catalog: str,
    folder: Path,
    *,
    batch_size: int = 10_000,
    consumer: str = CONSUMER,
    claim_after_s: float = CLAIM_AFTER_S,
) -> DrainReport:
    """Move every event of a catalog that is in Redis now into the log, and carry out erasures.

    It can die anywhere and be run again. Drains into one folder take turns; two on different
    machines at once would lose nothing, but need different consumer names.

    Args:
        client: Connection to the service's Redis, replies undecoded.
        catalog: Catalog to drain.
        folder: The catalog's event log.
        batch_size: Most entries per segment.
        consumer: Name in the consumer group. A killed drain's entries come back under the same
            name at once.
        claim_after_s: Entries that another consumer has held for so long are taken over.
    """
    segments: list[Path] = []
    num_entries = num_claimed = 0
    with taking(folder.with_name(folder.name + ".drain"), wait=True):
        known = watermark_of(folder)
        for partition in range(PARTITIONS):
            stream = keys_of(catalog, partition).events
            if not client.exists(stream):
                continue
            _ensure_group(client, stream)
            num_claimed += _claim(client, stream, consumer, claim_after_s)
            for entries in _batches(client, stream, consumer, batch_size):
                segments += _write(folder, partition, entries, known)
                num_entries += len(entries)
                client.xack(stream, EVENT_LOG_GROUP, *(entry_id for entry_id, _ in entries))
            _trim(client, stream)
        purge(folder, segments)
        num_erasures = carry_out(client, catalog, folder)
    report = DrainReport(
        num_entries, tuple(segments), watermark_of(folder), num_claimed, num_erasures
    )
    logger.info("drained catalog=%s entries=%d segments=%d", catalog, num_entries, len(segments))
    return report


def _ensure_group(client: Redis, stream: str) -> None:
    try:
        client.xgroup_create(stream, EVENT_LOG_GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def _claim(client: Redis, stream: str, consumer: str, claim_after_s: float) -> int:
    """Make entries of dead consumers pending under our name; returns how many there were."""
    mine = _num_pending(client, stream, consumer)
    start: bytes | str = "0-0"
    while True:
        reply = client.xautoclaim(
            stream,
            EVENT_LOG_GROUP,
            consumer,
            min_idle_time=round(claim_after_s * 1000),
            start_id=start,
            count=_CLAIMED_AT_ONCE,
        )
        start = cast(bytes, reply[0])
        if start == b"0-0":
            break
    claimed = _num_pending(client, stream, consumer) - mine
    if claimed > 0:
        logger.warning("stream=%s: %d entries of dead consumers taken over", stream, claimed)
    return max(0, claimed)


def _num_pending(client: Redis, stream: str, consumer: str) -> int:
    consumers = client.xinfo_consumers(stream, EVENT_LOG_GROUP)
    return sum(int(one["pending"]) for one in consumers if one["name"] == consumer.encode())


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
    named = list(reply.items())[0] if isinstance(reply, dict) else reply[0]  # noqa: RUF015
    if named[0] != stream.encode():
        raise RedisConnectionError("a reply belongs to another request; drain again")
    values = named[1]
    if values and isinstance(values[0], list) and values[0] and isinstance(values[0][0], tuple):
        values = values[0]
    return cast("Sequence[_Entry]", values)


def _write(
    folder: Path, partition: int, entries: Sequence[_Entry], known: Mapping[str, str]
) -> list[Path]:
    """Write a batch, a segment per day."""
    rows = [(stream_id(entry_id), decode_event(fields)) for entry_id, fields in entries if fields]
    if len(rows) < len(entries):
        logger.warning(
            "partition=%d has %d entries deleted before they were drained",
            partition,
            len(entries) - len(rows),
        )
    written = [
        _write_day(folder, partition, list(of_day))
        for _, of_day in groupby(rows, key=lambda row: day_of(row[0][0]))
    ]
    if rows:
        note_late(folder, partition, rows[0][0], known)
    return written


def _write_day(folder: Path, partition: int, rows: Sequence[tuple[StreamId, Interaction]]) -> Path:
    table = table_of(partition, rows)
    return write_segment(folder, partition, rows[0][0], rows[-1][0], table)


def _trim(client: Redis, stream: str) -> None:
    """Removes what every consumer group has acknowledged, and nothing else."""
    needed = [_first_needed(client, stream, group) for group in client.xinfo_groups(stream)]
    ms, seq = min(needed)
    client.xtrim(stream, minid=f"{ms}-{seq}", approximate=False)


def _first_needed(client: Redis, stream: str, group: Mapping[str, object]) -> StreamId:
    if group["pending"]:
        pending = client.xpending(stream, cast(bytes, group["name"]))
        return stream_id(pending["min"])
    ms, seq = stream_id(cast(bytes, group["last-delivered-id"]))
    return ms, seq + 1

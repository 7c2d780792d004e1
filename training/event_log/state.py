"""``log.json``: what a log knows beside its segments."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.events import Tombstone, digest_of, partition_name
from training.data.forgetting import ERASED_KEY
from training.errors import SchemaError
from training.event_log.schema import IMPORTED, StreamId, stream_id
from training.event_log.segments import changing
from training.files import replace_text

FORMAT_VERSION = 1
Kind = Literal["user", "item"]
COLUMNS: Mapping[Kind, str] = {"user": "user_id", "item": "item_id"}


@dataclass(frozen=True)
class LogState:
    """Who was erased, and how often events joined the log behind later ones.

    `carried` has, by `erasures_name`, the stream id of the last tombstone of a user that was
    carried out.
    """

    erasures: Mapping[tuple[Kind, str], Tombstone] = field(default_factory=dict)
    num_erasures: int = 0
    num_late: int = 0
    carried: Mapping[str, str] = field(default_factory=dict)

    def with_erasure(self, erasure: Tombstone) -> "LogState":
        """The state after an erasure; the later one of the same id holds."""
        key = (erasure.kind, erasure.digest)
        old = self.erasures.get(key)
        if old is not None and (old.last, old.at_ms) >= (erasure.last, erasure.at_ms):
            return self
        erasures = {**self.erasures, key: erasure}
        return replace(self, erasures=erasures, num_erasures=self.num_erasures + 1)

    def erased_at(self, kind: Kind) -> dict[str, int]:
        """Digest of every erased user or item to when that was, epoch ms."""
        return {one.digest: one.at_ms for one in self.erasures.values() if one.kind == kind}


def read_state(folder: Path) -> LogState:
    """The state of a log; an empty one where nothing was written.

    Raises:
        SchemaError: The file cannot be understood.
    """
    path = folder / "log.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return LogState()
    except ValueError as error:
        raise SchemaError(f"{path} is no JSON ({error}); put a backup in its place") from error
    if not isinstance(content, dict) or content.get("format_version") != FORMAT_VERSION:
        raise SchemaError(
            f"{path} has another format than {FORMAT_VERSION}; use the program version that "
            "wrote it"
        )
    erasures = [
        Tombstone(one["kind"], one["digest"], (one["ms"], one["seq"]), one["at_ms"])
        for one in content["erasures"]
    ]
    return LogState(
        {(one.kind, one.digest): one for one in erasures},
        content["num_erasures"],
        content["num_late"],
        content.get("carried", {}),
    )


def write_state(folder: Path, state: LogState) -> None:
    """Replace the state of a log; hold `changing` from before it was read."""
    content = {
        "format_version": FORMAT_VERSION,
        "num_erasures": state.num_erasures,
        "num_late": state.num_late,
        "carried": dict(state.carried),
        "erasures": [
            {
                "kind": one.kind,
                "digest": one.digest,
                "ms": one.last[0],
                "seq": one.last[1],
                "at_ms": one.at_ms,
            }
            for one in state.erasures.values()
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / "log.json", json.dumps(content, indent=1) + "\n")


def note_late(folder: Path, partition: int, first: StreamId, watermark: Mapping[str, str]) -> None:
    """Count a batch that begins behind what the log held already, so that its watermark changes.

    That is how entries of a dead consumer come. A killed drain's repeated batch looks the same;
    counting it in vain costs one retraining.
    """
    last = watermark.get(partition_name(partition))
    if last is None or first > stream_id(last.encode()):
        return
    with changing(folder):
        state = read_state(folder)
        write_state(folder, replace(state, num_late=state.num_late + 1))


def with_erasures(table: pa.Table, state: LogState) -> pa.Table:
    """The table, saying in its metadata who was erased; `erasures_of` reads it."""
    said = {kind: state.erased_at(kind) for kind in COLUMNS}
    metadata = {**(table.schema.metadata or {}), ERASED_KEY: json.dumps(said).encode()}
    return table.replace_schema_metadata(metadata)


def erased_rows(table: pa.Table, state: LogState) -> pa.Array:
    """Which rows of a table of `SCHEMA` belong to what was erased: a boolean per row."""
    erased = np.zeros(table.num_rows, dtype=bool)
    for kind, column in COLUMNS.items():
        of_kind = {digest: one for (k, digest), one in state.erasures.items() if k == kind}
        if not of_kind or table.num_rows == 0:
            continue
        ids = table.column(column).combine_chunks().dictionary_encode()
        known = [of_kind.get(digest_of(text)) for text in ids.dictionary.to_pylist()]
        codes = ids.indices.to_numpy(zero_copy_only=False)
        for code, erasure in enumerate(known):
            if erasure is not None:
                mine = codes == code
                erased[mine] |= _is_before(table.filter(pa.array(mine)), erasure)
    return pa.array(erased)


def _is_before(rows: pa.Table, erasure: Tombstone) -> NDArray[np.bool_]:
    ms, seq = erasure.last
    of_stream = pc.or_(
        pc.less(rows["stream_ms"], ms),
        pc.and_(pc.equal(rows["stream_ms"], ms), pc.less_equal(rows["stream_seq"], seq)),
    )
    imported = pc.less_equal(rows["timestamp"], erasure.at_ms)
    is_imported = pc.equal(rows["partition"], IMPORTED)
    before = pc.if_else(is_imported, imported, of_stream)
    return np.asarray(before.to_numpy(), dtype=bool)

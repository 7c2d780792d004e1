"""What was said of items through the service, kept on disk and read for training."""

import hashlib
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from redis import Redis

from service.events import item_bodies_key
from training.errors import SchemaError
from training.files import replacing

logger = logging.getLogger(__name__)

FILE = "items.parquet"
"""In a catalog's event log, beside the folders of its segments."""

_SCHEMA = pa.schema([pa.field("item_id", pa.string()), pa.field("state", pa.string())])
_AT_ONCE = 500


@dataclass(frozen=True)
class ItemState:
    """The latest that was said of an item.

    Attributes:
        item_id: The item.
        metadata: Fields that were given, by name; JSON values.
        features: Vectors that were given, by modality.
        encoders: Digests of the encoders of those vectors that the service encoded, by modality.
    """

    item_id: str
    metadata: Mapping[str, object] = field(default_factory=dict)
    features: Mapping[str, Sequence[float]] = field(default_factory=dict)
    encoders: Mapping[str, str] = field(default_factory=dict)


def drain_items(client: Redis, catalog: str, folder: Path) -> list[ItemState]:
    """Copy what was said of items to disk, and return it, sorted by id.

    Redis keeps its own: it is what the service goes on from. What was copied stays when Redis
    loses its data; what Redis has is newer.

    Args:
        client: Redis of the service.
        catalog: A catalog.
        folder: The catalog's event log.

    Raises:
        SchemaError: The file cannot be read.
    """
    path = folder / FILE
    stored = _read(path)
    found = client.hscan_iter(item_bodies_key(catalog), count=_AT_ONCE)
    latest = stored | {item_id.decode(): body.decode() for item_id, body in found}
    states = {item_id: _decoded(item_id, body) for item_id, body in latest.items()}
    # Nothing stays here of an item that was deleted or erased.
    bodies = {item_id: body for item_id, body in latest.items() if states[item_id] is not None}
    if bodies != stored:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(bodies)
        table = pa.table([names, [bodies[name] for name in names]], schema=_SCHEMA)
        with replacing(path) as draft:
            pq.write_table(table, draft)
    return [state for _, state in sorted(states.items()) if state is not None]


def of_items(states: Sequence[ItemState], item_ids: Collection[str]) -> list[ItemState]:
    """Those of some items."""
    wanted = set(item_ids)
    return [state for state in states if state.item_id in wanted]


def with_states(fingerprint: str, states: Sequence[ItemState]) -> str:
    """The fingerprint of data that states of items were joined to, 64 hex digits."""
    if not states:
        return fingerprint
    content = [[state.item_id, dict(state.metadata), dict(state.features)] for state in states]
    return hashlib.sha256(
        f"{fingerprint}{json.dumps(content, sort_keys=True)}".encode()
    ).hexdigest()


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        table = pq.read_table(path, schema=_SCHEMA, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise SchemaError(
            f"{path} cannot be read: {error}; move it away, and what Redis knows of the items is"
            " written anew"
        ) from error
    return dict(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _decoded(item_id: str, body: str) -> ItemState | None:
    """None for what says nothing: a deleted item, and what this program does not understand."""
    try:
        # Any: JSON that another program wrote.
        content: Any = json.loads(body)
        if content["deleted"] or not (content["metadata"] or content["features"]):
            return None
        features = {name: [float(x) for x in row] for name, row in content["features"].items()}
        return ItemState(
            item_id, dict(content["metadata"]), features, dict(content.get("encoders", {}))
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        logger.warning("what was said of an item cannot be learned from: %r", error)
        return None

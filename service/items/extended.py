"""A version with what was said of its items since."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import JsonValue

from service.artifact import Artifact
from service.errors import InvalidParameter
from service.index import DeltaIndex
from service.item_change import ItemChange
from service.items.content import ContentGraph, Placed
from service.items.growing import Grown
from service.shared_ids import longer_ids
from service.snapshot import Snapshot, over_artifact

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a new item lies, None where it resembles nothing; its features, of length 1 or None."""

    placed: Placed | None
    units: Mapping[str, NDArray[np.float32] | None]


_grown: WeakKeyDictionary[Artifact, Grown[_Place]] = WeakKeyDictionary()


def extend(base: Snapshot, changes: Collection[ItemChange]) -> Snapshot:
    """The version with new items after its own, changed metadata and hidden items.

    New items that resemble nothing are hidden. What was worked out for an item is remembered as
    long as the version is served, so one more item costs about as much as the first one. Not safe
    to call for one version from several threads at once.

    Args:
        base: the version as it was published.
        changes: the latest state of every item that has one.
    """
    new = [c for c in changes if not c.deleted and c.item_id not in base.item_rows]
    known = [c for c in changes if c.item_id in base.item_rows and c.metadata]
    snapshot = replace(base, changes=MappingProxyType({c.item_id: c for c in changes}))
    hidden = [
        base.item_rows[c.item_id] for c in changes if not c.shown and c.item_id in base.item_rows
    ]
    if new or known:
        artifact, placed = _extended(base.artifact, base.item_rows, known, new)
        first = base.index.num_items
        index = DeltaIndex(base.index, artifact.items[first:]) if new else base.index
        snapshot = over_artifact(snapshot, artifact, index)
        hidden += [
            first + number
            for number, (change, place) in enumerate(zip(new, placed, strict=True))
            if place is None or not change.shown
        ]
    if not hidden:
        return snapshot
    rows = np.array(sorted(hidden), np.int64)
    popular = snapshot.popular_rows
    return replace(snapshot, hidden_rows=rows, popular_rows=popular[~np.isin(popular, rows)])


def checked_value(schema: pa.Schema, name: str, value: JsonValue) -> object:
    """A metadata value as the catalog has it.

    Args:
        schema: of the items' metadata.
        name: the field.
        value: as it was sent; null is allowed everywhere.

    Raises:
        InvalidParameter: there is no such field, or the value is not of its type.
    """
    if name not in schema.names:
        known = ", ".join(schema.names) or "none"
        raise InvalidParameter(f"metadata: there is no field {name!r}; this catalog has: {known}")
    wanted = schema.field(name).type
    try:
        return _typed([value], wanted)[0]
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InvalidParameter(
            f"metadata.{name} is {value!r}, expected {wanted}: {error}"
        ) from error


def _typed(values: list[JsonValue], wanted: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, wanted)
    except (pa.ArrowException, TypeError):
        return pa.array(values).cast(wanted)


def _extended(
    artifact: Artifact,
    item_rows: Mapping[str, int],
    known: Sequence[ItemChange],
    new: Sequence[ItemChange],
) -> tuple[Artifact, list[Placed | None]]:
    grown = _grown.setdefault(artifact, Grown())
    graph = ContentGraph(artifact)

    def place(change: ItemChange) -> _Place:
        features = _usable(artifact, change)
        units = {name: _unit(vector) for name, vector in features.items()}
        return _Place(graph.place(features, change.metadata), units)

    places = grown.places.all(new, place)
    placed = [place.placed for place in places]
    items = grown.matrix("items", "", artifact.items)
    extended = replace(
        artifact,
        items=items.with_rows(new, [p.vector if p else None for p in placed]),
        item_ids=longer_ids(artifact.item_ids, [change.item_id for change in new]),
        item_metadata=_metadata(artifact.item_metadata, item_rows, known, new, grown),
        popularity=np.concatenate([artifact.popularity, np.zeros(len(new))]),
        factors={
            name: grown.matrix("factors", name, matrix).with_rows(
                new, [p.factors[name] if p else None for p in placed]
            )
            for name, matrix in artifact.factors.items()
        },
        features={
            name: grown.matrix("features", name, matrix).with_rows(
                new, [place.units.get(name) for place in places]
            )
            for name, matrix in artifact.features.items()
        },
    )
    return extended, placed


def _usable(artifact: Artifact, change: ItemChange) -> dict[str, NDArray[np.float32]]:
    """Vectors that fit the version: they may be of one with other modalities or encoders."""
    encoders = {name: one.digest for name, one in artifact.manifest.encoders.items()}
    return {
        name: vector
        for name, vector in change.features.items()
        if name in artifact.features
        and vector.shape == artifact.features[name].shape[1:]
        and change.encoders.get(name) in (None, encoders.get(name))
    }


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32] | None:
    if not vector.any():
        return None
    unit: NDArray[np.float32] = vector / np.linalg.norm(vector.astype(np.float64))
    return unit.astype(np.float32)


def _metadata(
    table: pa.Table | None,
    item_rows: Mapping[str, int],
    known: Sequence[ItemChange],
    new: Sequence[ItemChange],
    grown: Grown[_Place],
) -> pa.Table | None:
    if table is None:
        return None
    values_of_new = grown.metadata.all(
        new,
        lambda change: {
            name: _value(table.schema, name, change.metadata.get(name))
            for name in table.column_names
        },
    )
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        changed = {
            item_rows[c.item_id]: _value(table.schema, name, c.metadata[name])
            for c in known
            if name in c.metadata
        }
        if changed:
            mask = np.zeros(len(column), bool)
            mask[list(changed)] = True
            values = pa.array([changed[row] for row in sorted(changed)], column.type)
            column = pa.chunked_array([pc.replace_with_mask(_whole(column), mask, values)])
        added = [values[name] for values in values_of_new]
        columns[name] = pa.chunked_array(
            [*column.chunks, pa.array(added, column.type)], column.type
        )
    return pa.table(columns)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


def _value(schema: pa.Schema, name: str, value: JsonValue) -> object:
    """The value, or null where a later version's field has another type."""
    try:
        return checked_value(schema, name, value)
    except InvalidParameter as error:
        logger.warning("ignored %s", error)
        return None

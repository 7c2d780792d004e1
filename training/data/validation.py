"""The rules a dataset folder obeys, checked on its tables.

Every message names the file, the row (counted from 1) and the fix. Rules that make data unusable
raise; findings that only deserve a look are returned as sentences.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from service.events import EARLIEST_MS as EARLIEST_MS
from service.events import MAX_ID_BYTES as MAX_ID_BYTES
from training.data.descriptor import Descriptor, check_descriptor
from training.data.feature_checks import check_features, check_neighbours
from training.data.tables import DatasetDraft
from training.errors import DataError, SchemaError

DAY_MS = 86_400_000
_EVENT_COLUMNS = ("user_id", "item_id", "timestamp", "type", "value", "split")


def check_draft(draft: DatasetDraft, where: str, *, now_ms: int) -> list[str]:
    """Check every rule of a dataset folder.

    Args:
        draft: Tables and arrays of the folder.
        where: The folder's path, for messages.
        now_ms: Current time in epoch milliseconds.

    Returns:
        Findings that do not make the data unusable, as sentences.

    Raises:
        SchemaError: A column, dtype, id, label, event type or time is wrong.
        FeatureMismatch: Features or neighbours do not fit the items.
        DataError: Events contradict each other.
    """
    check_descriptor(
        Descriptor(draft.name, draft.event_types, draft.modalities), f"{where}/dataset.toml"
    )
    _check_ids(draft.items, "item_id", f"{where}/items.parquet")
    if draft.users is not None:
        _check_ids(draft.users, "user_id", f"{where}/users.parquet")
    _check_sources(draft, where)
    events = f"{where}/interactions.parquet"
    _check_columns(draft.interactions, events)
    _check_references(draft, events)
    _check_times(draft.interactions, events, now_ms)
    _check_values(draft.interactions, events)
    warnings = _check_labels(draft.interactions, events)
    warnings += check_features(draft, where)
    check_neighbours(draft, where)
    return warnings


def _check_ids(table: pl.DataFrame, column: str, where: str) -> None:
    if column not in table.columns:
        raise SchemaError(f"{where}: column {column} is missing; columns are {table.columns}")
    _require(table, column, (pl.String,), where, "write ids as text")
    _check_id_bytes(table[column], where)
    repeated = _first(table[column].is_duplicated())
    if repeated is not None:
        raise SchemaError(
            f"{where}: row {repeated + 1}: {column} {table[column][repeated]!r} occurs more than "
            "once; keep one row per id"
        )


def _check_id_bytes(ids: pl.Series, where: str) -> None:
    length = ids.str.len_bytes().fill_null(0)
    bad = _first((length < 1) | (length > MAX_ID_BYTES))
    if bad is not None:
        raise SchemaError(
            f"{where}: row {bad + 1}: {ids.name} {ids[bad]!r} has {length[bad]} bytes; ids are "
            f"text of 1 to {MAX_ID_BYTES} bytes"
        )


def _check_sources(draft: DatasetDraft, where: str) -> None:
    for name, spec in draft.modalities.items():
        if spec.kind != "dense" and spec.source not in draft.items.columns:
            raise SchemaError(
                f"{where}/dataset.toml: [modalities.{name}] takes column {spec.source!r}, which "
                f"items.parquet lacks; its columns are {', '.join(draft.items.columns)}"
            )


def _check_columns(events: pl.DataFrame, where: str) -> None:
    missing = [name for name in _EVENT_COLUMNS[:5] if name not in events.columns]
    unknown = [name for name in events.columns if name not in _EVENT_COLUMNS]
    if missing or unknown:
        raise SchemaError(
            f"{where}: missing columns {missing}, unknown columns {unknown}; the columns are "
            f"{', '.join(_EVENT_COLUMNS)} (split is optional)"
        )
    if events.is_empty():
        raise SchemaError(f"{where}: no interactions; import a source that has some")
    for name in ("user_id", "item_id", "type"):
        _require(events, name, (pl.String,), where, "write it as text")
    _require(events, "timestamp", (pl.Int64, pl.Null), where, "write epoch milliseconds as int64")
    _require(events, "value", (pl.Float32, pl.Float64, pl.Null), where, "write it as float32")
    for name in ("user_id", "item_id"):
        _check_id_bytes(events[name], where)
    if "split" in events.columns:
        integers = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.Null)
        _require(events, "split", integers, where, "write 0, 1 or 2 as int8")


def _require(
    table: pl.DataFrame,
    column: str,
    allowed: tuple[type[pl.DataType], ...],
    where: str,
    fix: str,
) -> None:
    if table[column].dtype not in allowed:
        raise SchemaError(
            f"{where}: column {column} is {table[column].dtype}, expected {allowed[0].__name__}; "
            f"{fix}"
        )


def _check_references(draft: DatasetDraft, where: str) -> None:
    events = draft.interactions
    known = {"item_id": (draft.items["item_id"], "items.parquet")}
    if draft.users is not None:
        known["user_id"] = (draft.users["user_id"], "users.parquet")
    for column, (ids, file) in known.items():
        bad = _first(~events[column].is_in(ids.implode()))
        if bad is not None:
            raise SchemaError(
                f"{where}: row {bad + 1}: {column} {events[column][bad]!r} is not in {file}; "
                f"add it there or drop the row"
            )
    bad = _first(~events["type"].is_in(list(draft.event_types)).fill_null(value=False))
    if bad is not None:
        raise SchemaError(
            f"{where}: row {bad + 1}: event type {events['type'][bad]!r} is not one of "
            f"{', '.join(draft.event_types)}; add [event_types.{events['type'][bad]}] to "
            "dataset.toml or correct the row"
        )


def _check_times(events: pl.DataFrame, where: str, now_ms: int) -> None:
    times = events["timestamp"].cast(pl.Int64)
    bad = _first((times < EARLIEST_MS).fill_null(value=False))
    if bad is not None:
        value = times[bad]
        cause = "is negative" if value < 0 else "looks like seconds"
        raise SchemaError(
            f"{where}: row {bad + 1}: timestamp {value} {cause}; write epoch milliseconds UTC "
            "(seconds * 1000), or null where the time is unknown"
        )
    bad = _first((times > now_ms + DAY_MS).fill_null(value=False))
    if bad is not None:
        raise SchemaError(
            f"{where}: row {bad + 1}: timestamp {times[bad]} lies in the future (now is {now_ms}); "
            "write epoch milliseconds UTC, not micro- or nanoseconds"
        )


def _check_values(events: pl.DataFrame, where: str) -> None:
    bad = _first(~events["value"].cast(pl.Float64).is_finite().fill_null(value=True))
    if bad is not None:
        raise SchemaError(
            f"{where}: row {bad + 1}: value {events['value'][bad]} is not finite; "
            "write a number, or null for none"
        )


def _check_labels(events: pl.DataFrame, where: str) -> list[str]:
    if "split" not in events.columns or events["split"].null_count() == len(events):
        return []
    bad = _first(~events["split"].is_in([0, 1, 2]).fill_null(value=False))
    if bad is not None:
        raise SchemaError(
            f"{where}: row {bad + 1}: split is {events['split'][bad]}; write 0 (train), "
            "1 (validation) or 2 (test) in every row, or drop the column"
        )
    repeated = _first(events.is_duplicated())
    if repeated is not None:
        raise DataError(
            f"{where}: row {repeated + 1} ({_pair(events, repeated)}) is an exact duplicate of "
            "another row of the official split; keep one of them"
        )
    conflicting = _first(
        events.select(pl.col("split").n_unique().over("user_id", "item_id") > 1)["split"]
    )
    if conflicting is not None:
        raise DataError(
            f"{where}: row {conflicting + 1} ({_pair(events, conflicting)}) has another split "
            "label elsewhere; a pair belongs to exactly one of train, validation and test"
        )
    return _users_without_training(events)


def _users_without_training(events: pl.DataFrame) -> list[str]:
    held_out = events.group_by("user_id").agg(pl.col("split").min()).filter(pl.col("split") > 0)
    if held_out.is_empty():
        return []
    return [
        f"{len(held_out)} users have interactions in validation or test only, first "
        f"{held_out['user_id'].min()!r}; models know nothing about them, metrics count them"
    ]


def _pair(events: pl.DataFrame, row: int) -> str:
    return f"user_id {events['user_id'][row]!r}, item_id {events['item_id'][row]!r}"


def _first(mask: pl.Series) -> int | None:
    rows: NDArray[np.int64] = np.flatnonzero(mask.to_numpy())
    return int(rows[0]) if len(rows) else None

"""Importer for tables of interactions: CSV, TSV, NDJSON or Parquet."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.dataset import DatasetDraft, EventType, ModalitySpec, write_dataset
from training.data.importers.event_rows import CleanEvents, clean_events
from training.data.importers.raw_rows import RawRows, column_names, read_raw
from training.data.importers.report import ImportReport
from training.data.tables import load_array
from training.errors import FeatureMismatch, SchemaError

DEFAULT_TYPE = "interaction"


@dataclass(frozen=True)
class Columns:
    """Which source column plays which role.

    Attributes:
        user: User ids.
        item: Item ids, in the interactions and in the items table.
        timestamp: Times; None = a column called ``timestamp`` if there is one.
        type: Event types; None = a column called ``type`` if there is one.
        value: Strengths such as ratings; None = a column called ``value`` if there is one.
    """

    user: str = "user_id"
    item: str = "item_id"
    timestamp: str | None = None
    type: str | None = None
    value: str | None = None


def import_csv(
    source: Path,
    target: Path,
    *,
    name: str | None = None,
    columns: Columns = Columns(),  # noqa: B008  # frozen, so sharing the default is safe
    delimiter: str | None = None,
    event_types: Mapping[str, EventType] | None = None,
    items: Path | None = None,
    categorical: Sequence[str] = (),
    features: Mapping[str, Path] | None = None,
    feature_ids: Mapping[str, Path] | None = None,
    clock: Callable[[], float] = time.time,
) -> ImportReport:
    """Import a table of interactions, with optional items and features.

    Times may be epoch seconds, epoch milliseconds or ISO 8601 (UTC when no zone is given). Rows
    that cannot be used are written with line and reason to ``<target>.rejects.csv``; rows that
    repeat another one exactly are collapsed. Always: read = interactions + rejected + collapsed.

    Args:
        source: ``.csv``, ``.tsv``, ``.ndjson``, ``.jsonl`` (each also ``.gz``) or ``.parquet``.
        target: Dataset folder to write.
        name: Name of the data set; the target's name by default.
        columns: Which column plays which role.
        delimiter: One character, for CSV that uses neither comma nor tab.
        event_types: Known event types, rows of others are rejected. None = all that occur, each
            with weight 1 and sign positive.
        items: Table of items (CSV, TSV, NDJSON or Parquet); its other columns become metadata.
            Items that only occur in interactions are added with empty metadata.
        categorical: Columns of the items table that become categorical modalities.
        features: ``.npy`` matrix per modality.
        feature_ids: Text file per modality with the item id of every feature row, one a line.
            Without one, rows follow the items table, or the sorted item ids when there is none.
        clock: Seconds since the epoch.

    Returns:
        Counts (users, items, read, interactions, collapsed), rejected rows, warnings, reject file.

    Raises:
        SchemaError: A file, column or id is wrong, or no row can be used.
        FeatureMismatch: Features and their ids or items do not fit together.
    """
    roles = _roles(source, columns, delimiter)
    raw = read_raw(source, list(dict.fromkeys(roles.values())), delimiter)
    clean = clean_events(
        raw,
        roles,
        event_types=tuple(event_types) if event_types is not None else None,
        default_type=DEFAULT_TYPE if event_types is None else next(iter(event_types)),
        now_ms=int(clock() * 1000),
    )
    reject_file = _write_rejects(target, clean.rejects)
    if clean.events.is_empty():
        raise SchemaError(f"{source}: none of {_num_read(raw)} rows can be used; see {reject_file}")
    warnings: list[str] = []
    item_table = _item_table(items, columns.item, delimiter, clean.events["item_id"], warnings)
    matrices = {
        key: _features(path, (feature_ids or {}).get(key), item_table, key, warnings)
        for key, path in (features or {}).items()
    }
    draft = DatasetDraft(
        name=name or target.name,
        event_types=dict(event_types) if event_types is not None else _types_of(clean.events),
        modalities={
            **{key: ModalitySpec("dense", f"features/{key}.npy") for key in matrices},
            **{_modality_name(key): ModalitySpec("categorical", key) for key in categorical},
        },
        interactions=clean.events,
        items=item_table,
        features=matrices,
    )
    warnings += write_dataset(target, draft, clock=clock)
    return _report(draft, target, raw, clean, warnings, reject_file)


def _report(
    draft: DatasetDraft,
    target: Path,
    raw: RawRows,
    clean: CleanEvents,
    warnings: list[str],
    reject_file: Path | None,
) -> ImportReport:
    counts = {
        "users": draft.interactions["user_id"].n_unique(),
        "items": len(draft.items),
        "read": _num_read(raw),
        "interactions": len(clean.events),
        "collapsed": clean.collapsed,
    }
    rejected = len(clean.rejects)
    if rejected:
        warnings.append(f"{rejected} of {counts['read']} rows were rejected, see {reject_file}")
    return ImportReport(draft.name, target, counts, rejected, tuple(warnings), reject_file)


def _roles(source: Path, columns: Columns, delimiter: str | None) -> dict[str, str]:
    roles = {"user_id": columns.user, "item_id": columns.item}
    present = column_names(source, delimiter)
    for role, chosen in (
        ("timestamp", columns.timestamp),
        ("type", columns.type),
        ("value", columns.value),
    ):
        if chosen is not None:
            roles[role] = chosen
        elif role in present:
            roles[role] = role
    return roles


def _num_read(raw: RawRows) -> int:
    return len(raw.lines) + len(raw.rejects)


def _write_rejects(target: Path, rejects: pl.DataFrame) -> Path | None:
    path = target.parent / f"{target.name}.rejects.csv"
    path.unlink(missing_ok=True)
    if rejects.is_empty():
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    rejects.write_csv(path)
    return path


def _types_of(events: pl.DataFrame) -> dict[str, EventType]:
    return {kind: EventType() for kind in events["type"].unique().sort().to_list()}


def _modality_name(column: str) -> str:
    return column.lower().replace(" ", "_")


def _item_table(
    path: Path | None,
    id_column: str,
    delimiter: str | None,
    used: pl.Series,
    warnings: list[str],
) -> pl.DataFrame:
    used_ids = used.unique().sort()
    if path is None:
        return pl.DataFrame({"item_id": used_ids})
    table = _read_items(path, id_column, delimiter)
    added = used_ids.filter(~used_ids.is_in(table["item_id"].implode()))
    if len(added):
        warnings.append(
            f"{len(added)} items are not in {path.name}, first {added[0]!r}; "
            "they were added with empty metadata"
        )
    return pl.concat([table, pl.DataFrame({"item_id": added})], how="diagonal")


def _read_items(path: Path, id_column: str, delimiter: str | None) -> pl.DataFrame:
    # Ids stay text: 00123 is not 123.
    text_id = {id_column: pl.String}
    try:
        if path.suffix == ".parquet":
            table = pl.read_parquet(path, glob=False, hive_partitioning=False)
        elif path.suffix in (".ndjson", ".jsonl"):
            table = pl.read_ndjson(path, schema_overrides=text_id)
        else:
            separator = delimiter or ("\t" if path.suffix in (".tsv", ".tab") else ",")
            table = pl.read_csv(
                path, separator=separator, schema_overrides=text_id, infer_schema_length=None
            )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SchemaError(f"{path} cannot be read as a table of items: {error}") from error
    if id_column not in table.columns:
        raise SchemaError(
            f"{path} has no column {id_column!r}; its columns are {', '.join(table.columns)}"
        )
    return table.select(
        pl.col(id_column).cast(pl.String).alias("item_id"), pl.exclude(id_column, "item_id")
    )


def _features(
    path: Path, ids_path: Path | None, items: pl.DataFrame, modality: str, warnings: list[str]
) -> NDArray[np.float32]:
    matrix = load_array(path)
    if ids_path is None:
        return matrix
    ids = ids_path.read_text(encoding="utf-8").splitlines()
    if matrix.ndim != 2 or len(ids) != len(matrix):
        raise FeatureMismatch(
            f"{path} has shape {matrix.shape} but {ids_path} has {len(ids)} ids; "
            "write one id per feature row"
        )
    row_of = {id_: row for row, id_ in enumerate(ids)}
    if len(row_of) != len(ids):
        raise FeatureMismatch(f"{ids_path} repeats an id; write every id once")
    wanted = [row_of.pop(id_, -1) for id_ in items["item_id"].to_list()]
    if row_of:
        warnings.append(f"{len(row_of)} rows of {path.name} belong to no item and were dropped")
    rows = np.asarray(wanted, dtype=np.int64)
    ordered = np.full((len(rows), matrix.shape[1]), np.nan, dtype=np.float32)
    ordered[rows >= 0] = matrix[rows[rows >= 0]]
    if (rows < 0).any():
        warnings.append(f"{int((rows < 0).sum())} items are not in {ids_path.name} ({modality})")
    return ordered

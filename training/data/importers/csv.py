"""Importer for tables of interactions: CSV, TSV, NDJSON or Parquet."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from training.data.dataset import DatasetDraft, EventType, write_dataset
from training.data.importers.catalogue_files import (
    CatalogueFiles,
    read_item_features,
    read_items,
)
from training.data.importers.event_rows import CleanEvents, clean_events
from training.data.importers.raw_rows import RawRows, read_raw
from training.data.importers.rejects import write_rejects
from training.data.importers.report import ImportReport
from training.errors import SchemaError

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

    def roles(self) -> dict[str, str]:
        """Source column by column of interactions.parquet."""
        return {
            "user_id": self.user,
            "item_id": self.item,
            "timestamp": self.timestamp or "timestamp",
            "type": self.type or "type",
            "value": self.value or "value",
        }


DEFAULT_COLUMNS = Columns()
NO_CATALOGUE = CatalogueFiles()


def import_csv(
    source: Path,
    target: Path,
    *,
    name: str | None = None,
    columns: Columns = DEFAULT_COLUMNS,
    delimiter: str | None = None,
    event_types: Mapping[str, EventType] | None = None,
    catalogue: CatalogueFiles = NO_CATALOGUE,
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
        catalogue: Files that describe the items.
        clock: Seconds since the epoch.

    Returns:
        Counts (users, items, read, interactions, collapsed), rejected rows, warnings, reject file.

    Raises:
        SchemaError: A file, column or id is wrong, or no row can be used.
        FeatureMismatch: Features and their ids or items do not fit together.
    """
    roles = columns.roles()
    raw = _read(source, roles, columns, delimiter)
    clean = clean_events(
        raw,
        roles,
        event_types=tuple(event_types) if event_types is not None else None,
        default_type=DEFAULT_TYPE if event_types is None else next(iter(event_types)),
        now_ms=int(clock() * 1000),
    )
    reject_file = write_rejects(target, clean.rejects)
    if clean.events.is_empty():
        raise SchemaError(f"{source}: none of {_num_read(raw)} rows can be used; see {reject_file}")
    warnings: list[str] = []
    items = read_items(catalogue, columns.item, delimiter, clean.events["item_id"], warnings)
    matrices = read_item_features(catalogue, items, warnings)
    draft = DatasetDraft(
        name=name or target.name,
        event_types=dict(event_types) if event_types is not None else _types_of(clean.events),
        modalities=catalogue.modalities(),
        interactions=clean.events,
        items=items,
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


def _read(source: Path, roles: dict[str, str], columns: Columns, delimiter: str | None) -> RawRows:
    given = (columns.timestamp, columns.type, columns.value)
    required = [columns.user, columns.item, *(column for column in given if column is not None)]
    return read_raw(source, required, list(roles.values()), delimiter)


def _num_read(raw: RawRows) -> int:
    return len(raw.lines) + len(raw.rejects)


def _types_of(events: pl.DataFrame) -> dict[str, EventType]:
    return {kind: EventType() for kind in events["type"].unique().sort().to_list()}

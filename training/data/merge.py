"""A data set and rows of the event log, merged into a new data set."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from service.events import FEEDBACK_TYPES
from training.data.dataset import DatasetDraft, read_draft, write_dataset
from training.data.forgetting import erasures_of, forget, forget_rows
from training.data.item_join import join_items
from training.data.item_states import ItemState
from training.data.tables import Neighbours
from training.data.validation import DAY_MS, EARLIEST_MS, MAX_ID_BYTES
from training.errors import SchemaError
from training.fund_facts import copy_funds

EVENT_SCHEMA = pl.Schema(
    {
        "user_id": pl.String,
        "item_id": pl.String,
        "type": pl.String,
        "value": pl.Float32,
        "timestamp": pl.Int64,
        "event_id": pl.String,
    }
)
_ROW = ["user_id", "item_id", "timestamp", "type", "value"]


@dataclass(frozen=True)
class MergeReport:
    """Result of one merge; ``read = added + repeated + rejected`` always holds.

    Attributes:
        read: Event-log rows given.
        added: Rows that are new in the target.
        repeated: Rows that repeat an event id, or an event the base already has.
        rejected: Rows that cannot be used.
        new_users: Users the base did not know.
        new_items: Items the base did not know.
        rejects: Columns event_id and reason.
        warnings: Findings worth a look.
    """

    read: int
    added: int
    repeated: int
    rejected: int
    new_users: int
    new_items: int
    rejects: pl.DataFrame
    warnings: tuple[str, ...]


def merge_events(
    dataset_folder: Path,
    events: pa.Table,
    target: Path,
    *,
    states: Sequence[ItemState] = (),
    clock: Callable[[], float] = time.time,
) -> MergeReport:
    """Write a data set that holds a base data set and rows of the event log.

    Existing items keep their rows; new items follow, sorted by id, with NaN features, empty
    metadata and, where neighbours are published, themselves as only neighbour at similarity 0. New
    users follow the known ones. Official split labels are dropped, because new events have none.
    Merging the same events again changes nothing: an event counts once per ``event_id``, and not
    at all when the base holds the same user, item, type, value and time. What the log says was
    erased is left out of the base, and of the positions beside a base of fund companies, which are
    copied beside the merged data set.

    Args:
        dataset_folder: Base data set, left as it is unless ``target`` is the same folder.
        events: Columns user_id, item_id, type, event_id (text), value (float or null), timestamp
            (int64 epoch ms).
        target: Folder of the merged data set.
        states: What was said of items through the service, joined to those the target has.
        clock: Seconds since the epoch.

    Raises:
        SchemaError: The base is broken, or ``events`` lacks a column.
    """
    erased = erasures_of(events)
    base = forget(read_draft(dataset_folder), *erased)
    given = _as_frame(events)
    judged = given.with_columns(reason=_reason(tuple(base.event_types), int(clock() * 1000)))
    rejects = judged.filter(pl.col("reason").is_not_null()).select("event_id", "reason")
    good = judged.filter(pl.col("reason").is_null()).unique(
        "event_id", keep="first", maintain_order=True
    )
    known = base.interactions.select(_ROW).cast({"timestamp": pl.Int64, "value": pl.Float32})
    fresh = (
        good.select(_ROW)
        .unique(maintain_order=True)
        .join(known, on=_ROW, how="anti", nulls_equal=True, maintain_order="left")
    )
    merged, new_users, new_items = _extend(base, known, fresh)

    def funds(folder: Path) -> None:
        copy_funds(dataset_folder, folder, lambda rows: forget_rows(rows, *erased))

    warnings = write_dataset(target, join_items(merged, states), clock=clock, also=funds)
    return MergeReport(
        read=len(given),
        added=len(fresh),
        repeated=len(given) - len(rejects) - len(fresh),
        rejected=len(rejects),
        new_users=new_users,
        new_items=new_items,
        rejects=rejects,
        warnings=tuple(warnings),
    )


def _as_frame(events: pa.Table) -> pl.DataFrame:
    missing = [name for name in EVENT_SCHEMA if name not in events.column_names]
    if missing:
        raise SchemaError(
            f"events lack the columns {', '.join(missing)}; they have "
            f"{', '.join(events.column_names)}; pass rows of the event log"
        )
    frame = pl.from_arrow(events.select(list(EVENT_SCHEMA)))
    assert isinstance(frame, pl.DataFrame)
    try:
        return frame.cast(EVENT_SCHEMA)
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"events have columns of a wrong type: {error}") from error


def _reason(event_types: tuple[str, ...], now_ms: int) -> pl.Expr:
    rules: list[tuple[pl.Expr, str]] = []
    for column in ("event_id", "user_id", "item_id"):
        size = pl.col(column).str.len_bytes().fill_null(0)
        rules.append((~size.is_between(1, MAX_ID_BYTES), f"{column} is empty or too long"))
    feedback = pl.col("type").is_in(sorted(FEEDBACK_TYPES - set(event_types)))
    known_type = pl.col("type").is_in(list(event_types)).fill_null(value=False)
    moment = pl.col("timestamp").is_between(EARLIEST_MS, now_ms + DAY_MS).fill_null(value=False)
    number = pl.col("value").is_finite().fill_null(value=True)
    rules += [
        (feedback.fill_null(value=False), "says what became of a recommendation, nothing more"),
        (~known_type, "event type is unknown"),
        (~moment, "timestamp is missing, before 1973 or in the future"),
        (~number, "value is not finite"),
    ]
    reason: pl.Expr = pl.lit(None, pl.String)
    for broken, text in reversed(rules):
        reason = pl.when(broken).then(pl.lit(text)).otherwise(reason)
    return reason


def _extend(
    base: DatasetDraft, known: pl.DataFrame, fresh: pl.DataFrame
) -> tuple[DatasetDraft, int, int]:
    new_items = _unknown(fresh["item_id"], base.items["item_id"])
    # Known users keep their rows: the order becomes explicit when the base had no users.parquet.
    users = base.users
    if users is None:
        users = pl.DataFrame({"user_id": base.interactions["user_id"].unique().sort()})
    new_users = _unknown(fresh["user_id"], users["user_id"])
    merged = replace(
        base,
        interactions=pl.concat([known, fresh]),
        items=pl.concat([base.items, pl.DataFrame({"item_id": new_items})], how="diagonal"),
        users=pl.concat([users, pl.DataFrame({"user_id": new_users})], how="diagonal"),
        features={name: _grow(x, len(new_items)) for name, x in base.features.items()},
        neighbours={
            name: _grow_neighbours(x, len(new_items)) for name, x in base.neighbours.items()
        },
    )
    return merged, len(new_users), len(new_items)


def _unknown(ids: pl.Series, known: pl.Series) -> pl.Series:
    return ids.filter(~ids.is_in(known.implode())).unique().sort()


def _grow(matrix: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    empty = np.full((count, matrix.shape[1]), np.nan, dtype=np.float32)
    return np.concatenate([matrix.astype(np.float32, copy=False), empty])


def _grow_neighbours(neighbours: Neighbours, count: int) -> Neighbours:
    num_items, k = neighbours.indices.shape
    own = np.arange(num_items, num_items + count, dtype=np.int64)
    return Neighbours(
        np.concatenate([neighbours.indices, np.repeat(own[:, None], k, axis=1)]),
        np.concatenate([neighbours.similarities, np.zeros((count, k), dtype=np.float32)]),
    )

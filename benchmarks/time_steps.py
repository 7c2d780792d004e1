"""A dataset in the order of time: what a first training may know, and steps of events after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from mutualrec.client import Event
from training.data.dataset import read_draft, write_dataset
from training.data.tables import DatasetDraft
from training.errors import DataError


@dataclass(frozen=True)
class Step:
    """Events that came in a stretch of time, and what users had to do with for the first time.

    Attributes:
        events: in their order.
        relevant: per user the items of their events in the step.
        known: the users with events before the step.
    """

    events: Sequence[Event]
    relevant: Mapping[str, frozenset[str]]
    known: frozenset[str]


def cut(source: Path, share: float, num_steps: int, folder: Path) -> list[Step]:
    """Write the first events as a dataset of their own, and return the others in steps.

    Users and items that come later are unknown to it, and so are vectors of modalities.

    Args:
        source: A dataset folder with timestamps.
        share: Share of the events that comes first.
        num_steps: How many steps of equally many events follow.
        folder: Where to write.

    Raises:
        DataError: An event has no time.
    """
    draft = read_draft(source)
    if draft.interactions["timestamp"].null_count():
        raise DataError(f"{source} has events without timestamps, which cannot be replayed")
    table = draft.interactions.sort("timestamp", "user_id", "item_id")
    bounds = [round(x) for x in np.linspace(share * len(table), len(table), num_steps + 1)]
    first = table[: bounds[0]]
    write_dataset(
        folder,
        DatasetDraft(
            name=draft.name,
            event_types=draft.event_types,
            modalities={},
            interactions=first,
            items=first.select("item_id").unique(maintain_order=True),
        ),
    )
    return [_step(table[:begin], table[begin:end], begin) for begin, end in pairwise(bounds)]


def _step(before: pl.DataFrame, rows: pl.DataFrame, number: int) -> Step:
    new = rows.join(before, on=["user_id", "item_id"], how="anti")
    columns = rows.select("user_id", "item_id", "timestamp", "type", "value")
    grouped = new.group_by("user_id", maintain_order=True).agg(pl.col("item_id").unique())
    return Step(
        events=[
            Event(
                event_id=f"replay-{number + place}",
                user_id=user,
                item_id=item,
                timestamp=at,
                type=kind,
                value=value,
            )
            for place, (user, item, at, kind, value) in enumerate(columns.iter_rows())
        ],
        relevant={user: frozenset(items) for user, items in grouped.iter_rows()},
        known=frozenset(before["user_id"].unique()),
    )

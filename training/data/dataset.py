"""A dataset folder and its in-memory form.

A folder holds ``dataset.toml``, ``interactions.parquet``, ``items.parquet``, optionally
``users.parquet`` and ``features/``. `read_dataset` refuses anything that breaks the schema, naming
the file, the row (counted from 1) and the fix; `write_dataset` applies the same checks before it
writes, so what was written can be read.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data import tables
from training.data.descriptor import Descriptor as Descriptor
from training.data.descriptor import EventType as EventType
from training.data.descriptor import ModalitySpec as ModalitySpec
from training.data.descriptor import read_descriptor, render_descriptor
from training.data.fingerprint import fingerprint_of
from training.data.identifiers import IdMap
from training.data.tables import DatasetDraft as DatasetDraft
from training.data.tables import Neighbours as Neighbours
from training.data.validation import check_draft
from training.files import replace_folder

logger = logging.getLogger(__name__)

Clock = Callable[[], float]


@dataclass(frozen=True)
class Interactions:
    """Every event, in file order. All arrays have shape [E].

    Attributes:
        user_rows: int64.
        item_rows: int64.
        timestamps: int64 epoch milliseconds UTC; 0 = unknown, which sorts before every known
            time. None when no event has a time.
        types: Names of event types.
        values: float32 strength such as a rating or a price; 1.0 where none was given.
        labels: int8, 0/1/2 = official train/validation/test; None when there are none.
    """

    user_rows: NDArray[np.int64]
    item_rows: NDArray[np.int64]
    timestamps: NDArray[np.int64] | None
    types: NDArray[np.str_]
    values: NDArray[np.float32]
    labels: NDArray[np.int8] | None

    def __len__(self) -> int:
        return len(self.user_rows)


@dataclass(frozen=True)
class Dataset:
    """One validated dataset. Rows of items follow items.parquet everywhere.

    Attributes:
        name: Name of the data set.
        event_types: Event types by name.
        modalities: Modalities by name.
        users: User ids; the order of users.parquet, sorted ids when there is no such file.
        items: Item ids.
        interactions: Every event.
        features: Per dense modality float32 [num_items, d]; a row of NaN = missing.
        codes: Per categorical modality int64 [num_items]; -1 = missing.
        categories: Per categorical modality the value of every code, sorted.
        neighbours: Published nearest neighbours per modality.
        metadata: One row per item, first column ``item_id``.
        fingerprint: sha256 over the content, independent of how the files were written.
    """

    name: str
    event_types: dict[str, EventType]
    modalities: dict[str, ModalitySpec]
    users: IdMap
    items: IdMap
    interactions: Interactions
    features: dict[str, NDArray[np.float32]]
    codes: dict[str, NDArray[np.int64]]
    neighbours: dict[str, Neighbours]
    metadata: pl.DataFrame
    fingerprint: str
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def num_users(self) -> int:
        """Number of users, those without interactions included."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """Number of items, those without interactions included."""
        return len(self.items)


def read_dataset(folder: Path, *, clock: Clock = time.time) -> Dataset:
    """Read and validate a dataset folder.

    Findings that do not stop anything (such as users without a training pair) are logged as
    warnings.

    Args:
        folder: Dataset folder.
        clock: Seconds since the epoch; timestamps more than a day after it are refused.

    Raises:
        SchemaError: A file is missing or a table breaks the schema.
        FeatureMismatch: Features do not fit the items.
        DataError: The content contradicts itself.
    """
    draft = read_draft(folder)
    for warning in check_draft(draft, str(folder), now_ms=int(clock() * 1000)):
        logger.warning("dataset=%s %s", draft.name, warning)
    return _assemble(draft)


def folder_fingerprint(folder: Path) -> str:
    """The fingerprint that `read_dataset` would give, without the checks between the tables.

    Raises:
        SchemaError: dataset.toml or a table is missing or cannot be read.
        FeatureMismatch: A feature file cannot be read.
    """
    return fingerprint_of(read_draft(folder))


def read_draft(folder: Path) -> DatasetDraft:
    """Load the tables and arrays of a folder without the checks between them.

    Raises:
        SchemaError: dataset.toml or a table is missing or cannot be read.
        FeatureMismatch: A feature file cannot be read.
    """
    descriptor = read_descriptor(folder / "dataset.toml")
    users = folder / "users.parquet"
    return DatasetDraft(
        name=descriptor.name,
        event_types=descriptor.event_types,
        modalities=descriptor.modalities,
        interactions=tables.read_table(folder / "interactions.parquet"),
        items=tables.read_table(folder / "items.parquet"),
        users=tables.read_table(users) if users.exists() else None,
        features=tables.read_features(folder, descriptor),
        neighbours=tables.read_neighbours(folder, descriptor),
    )


def write_dataset(
    folder: Path,
    draft: DatasetDraft,
    *,
    clock: Clock = time.time,
    also: Callable[[Path], None] | None = None,
) -> list[str]:
    """Validate a draft and write it as a dataset folder, all or nothing.

    The files are written to a temporary folder beside the target, synced and renamed. An existing
    dataset folder is replaced (moved aside first, so a crash never leaves a mixture); any other
    non-empty folder is refused.

    Args:
        folder: Target.
        draft: Tables and arrays.
        clock: As for `read_dataset`.
        also: Writes further files of an importer into the folder before it takes its place.

    Returns:
        Findings that do not make the data unusable, as sentences.

    Raises:
        SchemaError: The draft breaks the schema.
        FeatureMismatch: Features do not fit the items.
        DataError: The target is not a dataset folder, or the content contradicts itself.
    """
    draft = _with_neighbour_paths(draft)
    warnings = check_draft(draft, str(folder), now_ms=int(clock() * 1000))
    descriptor = Descriptor(draft.name, draft.event_types, draft.modalities)

    def fill(target: Path) -> None:
        (target / "dataset.toml").write_text(render_descriptor(descriptor), encoding="utf-8")
        tables.write_tables(target, draft)
        if also is not None:
            also(target)

    replace_folder(folder, fill, marker="dataset.toml")
    logger.info(
        "dataset=%s folder=%s interactions=%d items=%d",
        draft.name, folder, len(draft.interactions), len(draft.items),
    )  # fmt: skip
    return warnings


def _with_neighbour_paths(draft: DatasetDraft) -> DatasetDraft:
    modalities = {
        name: replace(spec, neighbours=f"features/{name}.neighbours.npz")
        if spec.neighbours is None and name in draft.neighbours
        else spec
        for name, spec in draft.modalities.items()
    }
    return replace(draft, modalities=modalities)


def _assemble(draft: DatasetDraft) -> Dataset:
    items = IdMap(draft.items["item_id"].to_list())
    events = draft.interactions
    user_column = (
        events["user_id"].unique().sort() if draft.users is None else draft.users["user_id"]
    )
    users = IdMap(user_column.to_list())
    interactions = Interactions(
        user_rows=_row_numbers(events["user_id"], user_column),
        item_rows=_row_numbers(events["item_id"], draft.items["item_id"]),
        timestamps=_timestamps(events["timestamp"]),
        types=np.asarray(events["type"].to_list(), dtype=np.str_),
        values=events["value"].fill_null(1.0).cast(pl.Float32).to_numpy(),
        labels=_labels(events),
    )
    codes, categories = _categorical(draft)
    metadata = draft.items.select("item_id", pl.exclude("item_id"))
    return Dataset(
        name=draft.name,
        event_types=draft.event_types,
        modalities=draft.modalities,
        users=users,
        items=items,
        interactions=interactions,
        features={name: np.asarray(x, dtype=np.float32) for name, x in draft.features.items()},
        codes=codes,
        neighbours=draft.neighbours,
        metadata=metadata,
        fingerprint=fingerprint_of(draft),
        categories=categories,
    )


def _row_numbers(ids: pl.Series, order: pl.Series) -> NDArray[np.int64]:
    lookup = pl.DataFrame({"id": order, "row": np.arange(len(order), dtype=np.int64)})
    joined = pl.DataFrame({"id": ids}).join(lookup, on="id", how="left", maintain_order="left")
    return joined["row"].to_numpy().astype(np.int64, copy=False)


def _timestamps(column: pl.Series) -> NDArray[np.int64] | None:
    if column.null_count() == len(column):
        return None
    return column.cast(pl.Int64).fill_null(0).to_numpy()


def _labels(events: pl.DataFrame) -> NDArray[np.int8] | None:
    if "split" not in events.columns or events["split"].null_count():
        return None
    return events["split"].cast(pl.Int8).to_numpy()


def _categorical(
    draft: DatasetDraft,
) -> tuple[dict[str, NDArray[np.int64]], dict[str, tuple[str, ...]]]:
    codes: dict[str, NDArray[np.int64]] = {}
    categories: dict[str, tuple[str, ...]] = {}
    for name, spec in draft.modalities.items():
        if spec.kind != "categorical":
            continue
        column = draft.items[spec.source].cast(pl.String)
        values = column.drop_nulls().unique().sort()
        order = {value: code for code, value in enumerate(values.to_list())}
        categories[name] = tuple(order)
        codes[name] = np.asarray(
            [-1 if value is None else order[value] for value in column.to_list()], dtype=np.int64
        )
    return codes, categories

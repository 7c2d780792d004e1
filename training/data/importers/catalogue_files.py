"""Files that describe the items of a table import: metadata, categories and features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.descriptor import ModalitySpec
from training.data.tables import load_array
from training.errors import FeatureMismatch, SchemaError


@dataclass(frozen=True)
class CatalogueFiles:
    """What is known about the items besides their interactions.

    Attributes:
        items: Table of items (CSV, TSV, NDJSON or Parquet); its columns besides the id become
            metadata. Items that only occur in interactions are added with empty metadata.
        categorical: Columns of the table that become categorical modalities.
        features: ``.npy`` matrix per modality.
        feature_ids: Text file per modality with the item id of every feature row, one a line.
            Without one, rows follow the items table, or the sorted item ids when there is none.
    """

    items: Path | None = None
    categorical: Sequence[str] = ()
    features: Mapping[str, Path] = field(default_factory=dict)
    feature_ids: Mapping[str, Path] = field(default_factory=dict)

    def modalities(self) -> dict[str, ModalitySpec]:
        """Modalities of the data set, by name."""
        dense = {name: ModalitySpec("dense", f"features/{name}.npy") for name in self.features}
        return dense | {
            column.lower().replace(" ", "_"): ModalitySpec("categorical", column)
            for column in self.categorical
        }


def read_items(
    catalogue: CatalogueFiles,
    id_column: str,
    delimiter: str | None,
    used: pl.Series,
    warnings: list[str],
) -> pl.DataFrame:
    """Items of the table, followed by those that occur in interactions only.

    Args:
        catalogue: Files that describe the items.
        id_column: Column of ids in the items table.
        delimiter: One character, overrides the guess for CSV.
        used: Item ids of the interactions.
        warnings: Findings are added here.

    Returns:
        Column item_id (text) and metadata.

    Raises:
        SchemaError: The table cannot be read or lacks a column.
    """
    path = catalogue.items
    used_ids = used.unique().sort()
    if path is None:
        if catalogue.categorical:
            raise SchemaError(
                f"categorical modalities {', '.join(catalogue.categorical)} are columns of an "
                "items table, but none was given; add one"
            )
        return pl.DataFrame({"item_id": used_ids})
    table = _read_items(path, id_column, delimiter)
    added = used_ids.filter(~used_ids.is_in(table["item_id"].implode()))
    if len(added):
        warnings.append(
            f"{len(added)} items are not in {path.name}, first {added[0]!r}; "
            "they were added with empty metadata"
        )
    return pl.concat([table, pl.DataFrame({"item_id": added})], how="diagonal")


def read_item_features(
    catalogue: CatalogueFiles, items: pl.DataFrame, warnings: list[str]
) -> dict[str, NDArray[np.float32]]:
    """Feature matrices in the order of ``items``; rows of items without features are NaN.

    Raises:
        FeatureMismatch: Features and their ids do not fit together.
    """
    return {
        modality: _features(path, catalogue.feature_ids.get(modality), items, modality, warnings)
        for modality, path in catalogue.features.items()
    }


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

"""What of the companies' columns becomes a modality."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.dataset import ModalitySpec
from training.data.importers.sec13f.companies import categorical_columns
from training.data.redundancy import merged_column, redundant_groups
from training.data.text_vectors import text_vectors
from training.errors import DataError, SchemaError


@dataclass(frozen=True)
class Modalities:
    """The table of companies with the columns that groups added, and what is learned from."""

    items: pl.DataFrame
    specs: dict[str, ModalitySpec]
    features: dict[str, NDArray[np.float32]]


def company_modalities(
    items: pl.DataFrame,
    *,
    categorical: Sequence[str] | None = None,
    texts: Sequence[str] = (),
    group: float | None = None,
) -> Modalities:
    """Decide what is a modality.

    Args:
        items: Table of companies.
        categorical: Columns that are modalities; None is all text columns whose values repeat.
        texts: Columns of prose that become vectors; such a column is not categorical.
        group: Least information that columns share to become one modality, between 0 and 1;
            None keeps every column by itself.

    Raises:
        SchemaError: There is no such column, a column has no text, or `group` is out of range.
    """
    if group is not None and not 0.0 < group <= 1.0:
        raise SchemaError(f"group is {group}; give a share above 0 and at most 1, such as 0.7")
    _check_columns(items, [*(categorical or ()), *texts])
    columns = categorical_columns(items) if categorical is None else list(categorical)
    columns = [column for column in columns if column not in texts]
    specs = {}
    for members in redundant_groups(items, columns, group) if group else [[c] for c in columns]:
        if len(members) > 1:
            items = items.with_columns(merged_column(items, members))
        name = "-".join(members)
        specs[name] = ModalitySpec("categorical", name)
    features = {column: _vectors(items, column) for column in texts}
    specs |= {column: ModalitySpec("text", column) for column in texts}
    return Modalities(items, specs, features)


def _vectors(items: pl.DataFrame, column: str) -> NDArray[np.float32]:
    try:
        return text_vectors(items[column].cast(pl.String).to_list())
    except DataError as error:
        raise SchemaError(f"column {column!r} of the companies: {error}") from error


def _check_columns(items: pl.DataFrame, columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in items.columns]
    if missing:
        raise SchemaError(
            f"no table of companies has a column {missing[0]!r}; the columns are "
            f"{', '.join(items.columns)}"
        )

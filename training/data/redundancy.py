"""Categorical columns that tell nearly the same, put together into one."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray


def shared_information(one: pl.Series, other: pl.Series) -> float:
    """Return I(one; other) / max(H(one), H(other)) over rows where both are known.

    0 is independent; 1 means that each value of either column names the value of the other. 0
    when nothing is known in both or a column has one value.
    """
    table = pl.DataFrame({"one": one, "other": other}).drop_nulls()
    entropies = [_told(table[name]) for name in table.columns]
    if table.is_empty() or min(entropies) == 0.0:
        return 0.0
    joint = _entropy(table.group_by("one", "other").len()["len"].to_numpy())
    return (sum(entropies) - joint) / max(entropies)


def redundant_groups(
    items: pl.DataFrame, columns: Sequence[str], threshold: float
) -> list[list[str]]:
    """Group columns: two are together when they, or a chain between them, share the threshold.

    Args:
        items: Table with the columns.
        columns: Categorical columns.
        threshold: Least `shared_information` of two columns that belong together.

    Returns:
        The groups, singles too, in the order of their first columns.
    """
    group = {column: [column] for column in columns}
    for one, other in combinations(columns, 2):
        if group[one] is group[other]:
            continue
        if shared_information(items[one], items[other]) >= threshold:
            group[one].extend(group[other])
            for column in group[other]:
                group[column] = group[one]
    unique = {id(members): members for members in group.values()}
    return [sorted(members, key=list(columns).index) for members in unique.values()]


def merged_column(items: pl.DataFrame, group: Sequence[str]) -> pl.Series:
    """Put a group into one column, called by its columns' names joined by `-`.

    It has the values of the column that tells most (largest entropy, times the part of the items
    that have a value); where that has none, the value that is most frequent among the items with
    the same value in the next column that has one. Missing stays what is missing in all.
    """
    order = sorted(group, key=lambda name: (-_told(items[name]), name))
    values = items[order[0]].cast(pl.String)
    for name in order[1:]:
        known = pl.DataFrame({"from": items[name].cast(pl.String), "to": items[order[0]]})
        usual = (
            known.drop_nulls()
            .group_by("from", "to")
            .len()
            .sort(["len", "to"], descending=[True, False])
            .unique("from", keep="first", maintain_order=True)
        )
        names, meanings = usual["from"].to_list(), usual["to"].cast(pl.String).to_list()
        filled = (
            items[name]
            .cast(pl.String)
            .replace_strict(names, meanings, default=None, return_dtype=pl.String)
        )
        values = pl.select(pl.coalesce(values, filled)).to_series()
    return values.alias("-".join(group))


def _told(column: pl.Series) -> float:
    known = column.drop_nulls()
    return _entropy(known.value_counts()["count"].to_numpy()) * len(known) / max(len(column), 1)


def _entropy(counts: NDArray[np.integer]) -> float:
    shares = counts / max(counts.sum(), 1)
    return float(-(shares * np.log(shares)).sum())

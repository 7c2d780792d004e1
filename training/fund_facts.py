"""The positions of fund companies that lie beside a dataset, as an artifact keeps them.

A dataset of fund companies has a folder ``funds/`` with ``positions.parquet`` (fund_id, company_id,
quarter, filed, value_usd, share, change) and ``managers.parquet`` (fund_id, name, cik). Fund ids
are its users, company ids its items.
"""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from service.artifact import CHANGES, FundFacts, Role
from training.data.dataset import Dataset
from training.data.tables import read_table
from training.data.validation import DAY_MS
from training.errors import DataError, SchemaError

FOLDER = "funds"
POSITIONS = "positions.parquet"
MANAGERS = "managers.parquet"
COLUMNS = ("fund_id", "company_id", "quarter", "filed", "value_usd", "share", "change")

_KNOWN_COLUMNS: dict[Role, tuple[str, ...]] = {
    "name": ("name", "title", "company"),
    "sector": ("sector", "gics_sector"),
    "country": ("country",),
    "size": ("size", "market_cap_class"),
}


def has_funds(dataset_folder: Path) -> bool:
    """Whether the dataset is one of fund companies."""
    return (dataset_folder / FOLDER / POSITIONS).exists()


def read_positions(dataset_folder: Path) -> pl.DataFrame:
    """Read the positions, one row per fund, company and quarter.

    Raises:
        SchemaError: The table is missing or lacks a column.
    """
    path = dataset_folder / FOLDER / POSITIONS
    positions = read_table(path)
    missing = [name for name in COLUMNS if name not in positions.columns]
    if missing:
        raise SchemaError(
            f"{path} lacks the columns {', '.join(missing)}; it has "
            f"{', '.join(positions.columns)}; import the filings again"
        )
    return positions.select(COLUMNS)


def read_fund_facts(dataset_folder: Path, dataset: Dataset) -> FundFacts | None:
    """Read what publishing says of fund companies; None for a dataset of anything else.

    Args:
        dataset_folder: Where ``funds/`` lies.
        dataset: The dataset that is published; its users and items may be more than those of the
            folder.

    Raises:
        SchemaError: A table lacks a column.
        DataError: A position names a fund or company that the dataset does not have, an unknown
            change, or comes twice.
    """
    if not has_funds(dataset_folder):
        return None
    path = dataset_folder / FOLDER / POSITIONS
    positions = read_positions(dataset_folder)
    quarters = positions["quarter"].unique().sort()
    rows = (
        positions.join(_numbered(dataset.users.ids_tuple, "fund"), on="fund_id", how="left")
        .join(_numbered(dataset.items.ids_tuple, "company"), on="company_id", how="left")
        .join(pl.DataFrame({"quarter": quarters}).with_row_index("quarter_row"), on="quarter")
        .join(
            pl.DataFrame({"change": CHANGES, "change_row": range(len(CHANGES))}),
            on="change",
            how="left",
        )
        .sort("fund_row", "quarter_row", "company_row")
    )
    _check(rows, path)
    names, ciks = _managers(dataset_folder, dataset)
    found = {
        role: next((n for n in known if dataset.metadata.schema.get(n) == pl.String), None)
        for role, known in _KNOWN_COLUMNS.items()
    }
    whole = {
        field: rows[column].cast(pl.Int32).to_numpy()
        for field, column in (
            ("fund_rows", "fund_row"),
            ("company_rows", "company_row"),
            ("quarter_rows", "quarter_row"),
            ("changes", "change_row"),
            ("filed", "filed"),
        )
    }
    return FundFacts(
        quarters=quarters.cast(pl.Date).cast(pl.Int32).to_numpy(),
        values=rows["value_usd"].cast(pl.Float64).fill_null(0.0).to_numpy(),
        portfolio_shares=rows["share"].cast(pl.Float64).fill_null(0.0).to_numpy(),
        names=names,
        ciks=ciks,
        columns={role: column for role, column in found.items() if column is not None},
        **whole,
    )


def copy_funds(
    dataset_folder: Path, target: Path, forget: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    """Copy what lies beside a dataset of fund companies to where another one is made of it.

    Args:
        dataset_folder: The dataset it lies beside; nothing happens for one of anything else.
        target: The folder that is being filled.
        forget: Leaves rows (user_id, item_id, timestamp) out that the other dataset lacks.
    """
    if not has_funds(dataset_folder):
        return
    positions = read_table(dataset_folder / FOLDER / POSITIONS).with_columns(
        user_id="fund_id",
        item_id="company_id",
        timestamp=pl.col("filed").cast(pl.Int32).cast(pl.Int64) * DAY_MS,
    )
    kept = forget(positions).drop("user_id", "item_id", "timestamp")
    (target / FOLDER).mkdir()
    kept.write_parquet(target / FOLDER / POSITIONS)
    path = dataset_folder / FOLDER / MANAGERS
    if path.exists():
        reported = kept.select("fund_id").unique()
        managers = read_table(path).join(reported, on="fund_id", how="semi")
        managers.write_parquet(target / FOLDER / MANAGERS)


def quarter_of(day: date) -> str:
    """Return the name of the quarter a day lies in, such as ``2025Q1``."""
    return f"{day.year}Q{(day.month + 2) // 3}"


def _numbered(ids: Sequence[str], what: str) -> pl.DataFrame:
    return pl.DataFrame({f"{what}_id": ids}).with_row_index(f"{what}_row")


def _check(rows: pl.DataFrame, path: Path) -> None:
    for column, given in (
        ("fund_row", "fund_id"),
        ("company_row", "company_id"),
        ("change_row", "change"),
    ):
        wrong = rows.filter(pl.col(column).is_null())[given].unique().sort()
        if len(wrong):
            raise DataError(
                f"{path}: {given} {wrong[0]!r} and {len(wrong) - 1} others are not known to the "
                "dataset; import the filings again, so that both fit"
            )
    if rows.select("fund_row", "quarter_row", "company_row").is_duplicated().any():
        raise DataError(
            f"{path} holds a fund, company and quarter more than once; import the filings again"
        )


def _managers(dataset_folder: Path, dataset: Dataset) -> tuple[list[str], list[str | None]]:
    """Return name and CIK per user; a user without an entry has its id and no CIK."""
    ids = pl.DataFrame({"fund_id": dataset.users.ids_tuple})
    path = dataset_folder / FOLDER / MANAGERS
    if not path.exists():
        return ids["fund_id"].to_list(), [None] * len(ids)
    managers = read_table(path).unique("fund_id", keep="first")
    known = ids.join(managers, on="fund_id", how="left", maintain_order="left")
    names = known.select(pl.coalesce("name", "fund_id"))["name"].to_list()
    return names, known["cik"].cast(pl.String).to_list()

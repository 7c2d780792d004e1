"""The folder ``funds/`` of a dataset: positions, managers and filings, with a schema version."""

from pathlib import Path

import polars as pl

from training.data.importers.sec13f.reconciliation import SCHEMA_VERSION, Reconciliation

FOLDER = "funds"
POSITIONS = {
    "fund_id": pl.String,
    "company_id": pl.String,
    "quarter": pl.Date,
    "filed": pl.Date,
    "value_usd": pl.Float64,
    "share": pl.Float64,
    "change": pl.String,
    "shares": pl.Float64,
}
MANAGERS = {
    "fund_id": pl.String,
    "name": pl.String,
    "cik": pl.String,
    "first_quarter": pl.Date,
    "last_quarter": pl.Date,
    "num_quarters": pl.Int64,
    "num_positions": pl.Int64,
    "value_usd": pl.Float64,
}
FILINGS = {
    "accession": pl.String,
    "fund_id": pl.String,
    "quarter": pl.Date,
    "filed": pl.Date,
    "amendment": pl.String,
    "corrected_factor": pl.Float64,
    "comparable": pl.Boolean,
    "used": pl.Boolean,
}


def write_funds_folder(
    folder: Path,
    positions: pl.DataFrame,
    filings: pl.DataFrame,
    reconciliation: Reconciliation,
) -> None:
    """Write ``funds/`` into a dataset folder; every table's metadata has ``schema_version``."""
    target = folder / FOLDER
    target.mkdir()
    tables = {
        "positions": (positions, POSITIONS),
        "managers": (managers_of(positions, filings), MANAGERS),
        "filings": (filings.sort("quarter", "fund_id", "filed", "accession"), FILINGS),
    }
    for name, (table, schema) in tables.items():
        table.select(pl.col(column).cast(dtype) for column, dtype in schema.items()).write_parquet(
            target / f"{name}.parquet", metadata={"schema_version": SCHEMA_VERSION}
        )
    (target / "reconciliation.json").write_text(reconciliation.to_json(), encoding="utf-8")


def managers_of(positions: pl.DataFrame, filings: pl.DataFrame) -> pl.DataFrame:
    """One row per fund: its newest name, its quarters, and the size of its last portfolio."""
    held = positions.filter(pl.col("change") != "closed")
    sizes = held.group_by("fund_id", "quarter").agg(
        num_positions=pl.len(), value_usd=pl.col("value_usd").sum()
    )
    return (
        filings.sort("filed", "accession")
        .group_by("fund_id")
        .agg(
            name=pl.col("name").last(),
            cik=pl.col("cik").drop_nulls().last(),
            first_quarter=pl.col("quarter").min(),
            last_quarter=pl.col("quarter").max(),
            num_quarters=pl.col("quarter").n_unique(),
        )
        .join(sizes.rename({"quarter": "last_quarter"}), on=["fund_id", "last_quarter"], how="left")
        .with_columns(pl.col("num_positions", "value_usd").fill_null(0))
        .sort("fund_id")
    )

"""Filings: who filed what for which quarter, and which filing counts after amendments."""

import datetime as dt

import polars as pl

from training.data.importers.sec13f.bulk_tables import LINE, WHERE, BulkTables
from training.errors import SchemaError

DOLLARS_SINCE = dt.date(2023, 1, 3)
"""Form 13F reports whole dollars since then, thousands before."""
AMENDMENTS = ("none", "restatement", "new_holdings")


def read_filings(tables: BulkTables) -> tuple[pl.DataFrame, list[str]]:
    """One row per holdings report (13F-HR and 13F-HR/A; notices report no holdings).

    A fund's id is its CIK; where no filing of a manager's name has one, the name.

    Returns:
        Columns accession, fund_id, cik, name, quarter (date, end of the quarter), filed (date),
        amendment (see `AMENDMENTS`), thousands (bool); and findings as sentences.

    Raises:
        SchemaError: A filing has no cover page, no manager, a wrong date, or occurs twice.
    """
    submissions = tables.submissions.filter(
        pl.col("SUBMISSIONTYPE").fill_null("").str.to_uppercase().str.starts_with("13F-HR")
    )
    _refuse_first(
        tables.submissions, pl.col("ACCESSION_NUMBER").is_null(), "ACCESSION_NUMBER is empty"
    )
    _refuse_first(submissions, pl.col("ACCESSION_NUMBER").is_duplicated(), "occurs twice")
    covers = tables.covers.drop(LINE, WHERE)
    _refuse_first(tables.covers, pl.col("ACCESSION_NUMBER").is_duplicated(), "occurs twice")
    found = submissions.join(covers, on="ACCESSION_NUMBER", how="left", maintain_order="left")
    _refuse_first(
        found, pl.col("FILINGMANAGER_NAME").is_null(), "has no manager's name in COVERPAGE"
    )
    found = found.with_columns(
        filed=_date("FILING_DATE"),
        period=pl.coalesce(_date("PERIODOFREPORT"), _date("REPORTCALENDARORQUARTER")),
    )
    _refuse_first(found, pl.col("filed").is_null(), "FILING_DATE is no date such as 14-FEB-2024")
    _refuse_first(
        found, pl.col("period").is_null(), "PERIODOFREPORT is no date such as 31-DEC-2023"
    )
    filings = found.select(
        accession="ACCESSION_NUMBER",
        cik=pl.col("CIK").str.zfill(10),
        name="FILINGMANAGER_NAME",
        quarter=pl.col("period").dt.offset_by("1d").dt.offset_by("-1d").pipe(_quarter_end),
        filed="filed",
        amendment=_amendment(),
        thousands=pl.col("filed") < DOLLARS_SINCE,
    )
    filings, notes = _with_fund_ids(filings)
    moved = int((found["period"] != filings["quarter"]).sum())
    if moved:
        notes.append(f"{moved} filings report for a day inside a quarter; its last day was taken")
    return filings, notes


def effective(filings: pl.DataFrame) -> pl.DataFrame:
    """Add ``used``: false where a later restatement, or a later original, replaces a filing.

    New holdings add to what was filed before. A second original for a quarter replaces the first,
    as some managers file a correction without calling it an amendment.
    """
    ordered = filings.sort("filed", pl.col("amendment") != "none", "accession")
    ordered = ordered.with_row_index("order")
    whole = pl.col("amendment") != "new_holdings"
    last = pl.col("order").filter(whole).max().over("fund_id", "quarter")
    return ordered.with_columns(used=pl.col("order") >= last.fill_null(0)).drop("order")


def _date(column: str) -> pl.Expr:
    text = pl.col(column)
    return pl.coalesce(
        text.str.to_date("%d-%b-%Y", strict=False), text.str.to_date("%Y-%m-%d", strict=False)
    )


def _quarter_end(date: pl.Expr) -> pl.Expr:
    return date.dt.truncate("1q").dt.offset_by("1q").dt.offset_by("-1d")


def _amendment() -> pl.Expr:
    kind = pl.col("AMENDMENTTYPE").fill_null("").str.to_uppercase()
    is_amendment = pl.col("SUBMISSIONTYPE").str.ends_with("/A") | pl.col("ISAMENDMENT").fill_null(
        "N"
    ).str.to_uppercase().is_in(["Y", "TRUE", "1"])
    return (
        pl.when(~is_amendment)
        .then(pl.lit("none"))
        .when(kind.str.contains("NEW"))
        .then(pl.lit("new_holdings"))
        .otherwise(pl.lit("restatement"))
    )


def _with_fund_ids(filings: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    ciks = (
        filings.drop_nulls("cik")
        .group_by("name")
        .agg(known=pl.col("cik").unique())
        .filter(pl.col("known").list.len() == 1)
        .select("name", known=pl.col("known").list.first())
    )
    filings = (
        filings.join(ciks, on="name", how="left", maintain_order="left")
        .with_columns(cik=pl.coalesce("cik", "known"))
        .drop("known")
        .with_columns(fund_id=pl.coalesce("cik", "name"))
    )
    without = filings.filter(pl.col("cik").is_null())["name"].unique()
    if without.is_empty():
        return filings, []
    return filings, [
        f"{len(without)} managers have no CIK and are known by their name, first {without.min()!r}"
    ]


def _refuse_first(table: pl.DataFrame, wrong: pl.Expr, reason: str) -> None:
    bad = table.filter(wrong).head(1)
    if len(bad):
        row = bad.row(0, named=True)
        raise SchemaError(
            f"{row[WHERE]}: line {row[LINE]}: filing {row['ACCESSION_NUMBER']!r}: {reason}; "
            "correct the line or download the data set again"
        )

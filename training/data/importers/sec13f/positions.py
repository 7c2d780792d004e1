"""Positions per fund, company and quarter, and what changed since the fund's last report."""

import polars as pl

CHANGES = ("new", "increased", "reduced", "closed", "held")
MIN_HOLDERS = 3
MAX_DRIFT = 0.3
_KEYS = ["fund_id", "company_id"]


def merge_positions(lines: pl.DataFrame, filings: pl.DataFrame) -> pl.DataFrame:
    """Sum the lines of a fund's counting filings into one position per company and quarter.

    Args:
        lines: accession, company_id, value, shares.
        filings: accession, fund_id, quarter, filed, used, unit.

    Returns:
        fund_id, company_id, quarter, filed (of the newest filing with it), value_usd, share (of
        the portfolio's value, 0 where that is 0), shares.
    """
    used = filings.filter("used").select("accession", "fund_id", "quarter", "filed", "unit")
    merged = (
        lines.join(used, on="accession")
        .group_by(*_KEYS, "quarter")
        .agg(
            filed=pl.col("filed").max(),
            value_usd=(pl.col("value") * pl.col("unit")).sum(),
            shares=pl.col("shares").sum(),
        )
    )
    total = pl.col("value_usd").sum().over("fund_id", "quarter")
    share = pl.when(total > 0).then(pl.col("value_usd") / total).otherwise(0.0)
    return merged.with_columns(share=share)


def find_splits(positions: pl.DataFrame, quarters: pl.DataFrame) -> pl.DataFrame:
    """Find stock splits: holders' shares multiply while the implied price divides.

    Over the holders of two consecutive reports, at least three, the median ratio of shares is near
    n or 1/n for some n >= 2, at least half of the holders are near it too (within a twentieth for
    2, which trading reaches as well, a quarter above), and the price moved by its inverse up to a
    third.

    Args:
        positions: Result of `merge_positions`.
        quarters: fund_id, quarter, previous (the fund's report before, null for its first).

    Returns:
        company_id, quarter, previous, ratio: shares per share before (10.0, 0.125).
    """
    held = positions.filter((pl.col("shares") > 0) & (pl.col("value_usd") > 0))
    price = pl.col("value_usd") / pl.col("shares")
    held = held.with_columns(price=price.median().over("company_id", "quarter"))
    change = (pl.col("shares") / pl.col("shares_before")).log()
    off = (pl.col("change") - pl.col("ratio").log()).abs()
    several = pl.col("ratio").log().abs() > 1.0
    split = ["company_id", "quarter", "previous"]
    ratio = _simple_ratio(pl.col("change").median().exp()).over(split)
    return (
        _beside_previous(held, quarters)
        .with_columns(change=change)
        .with_columns(ratio=ratio)
        .group_by(*split, "ratio")
        .agg(
            holders=pl.len(),
            agree=(off < pl.when(several).then(0.25).otherwise(0.05)).mean(),
            drift=(pl.col("price") / pl.col("price_before") * pl.col("ratio")).log().median(),
        )
        .filter(
            (pl.col("ratio") != 1.0)
            & (pl.col("holders") >= MIN_HOLDERS)
            & (pl.col("agree") >= 0.5)
            & (pl.col("drift").abs() < MAX_DRIFT)
        )
        .select(*split, "ratio")
        .sort("quarter", "company_id", "previous")
    )


def with_changes(
    positions: pl.DataFrame, quarters: pl.DataFrame, splits: pl.DataFrame
) -> pl.DataFrame:
    """Say how each position differs from the fund's report before, closed ones added.

    Shares decide, not values, and splits are taken out. A fund's first report says what it holds,
    not what it bought, so all of it is ``held``. A closed position has the quarter and the filing
    date of the report that lacks it, and no value.

    Args:
        positions: Result of `merge_positions`.
        quarters: fund_id, quarter, previous, filed.
        splits: Result of `find_splits`.

    Returns:
        The columns of the positions and ``change``, sorted by fund, quarter and company.
    """
    before = positions.select(*_KEYS, previous="quarter", shares_before="shares")
    now = (
        positions.join(quarters.select("fund_id", "quarter", "previous"), on=["fund_id", "quarter"])
        .join(before, on=[*_KEYS, "previous"], how="left")
        .join(splits, on=["company_id", "quarter", "previous"], how="left")
        .with_columns(comparable=pl.col("shares_before") * pl.col("ratio").fill_null(1.0))
        .with_columns(change=_change())
    )
    closed = (
        quarters.drop_nulls("previous")
        .join(before, on=["fund_id", "previous"])
        .join(positions.select(*_KEYS, "quarter"), on=[*_KEYS, "quarter"], how="anti")
        .with_columns(
            value_usd=0.0, share=0.0, shares=0.0, change=pl.lit("closed", dtype=pl.String)
        )
    )
    columns = [*_KEYS, "quarter", "filed", "value_usd", "share", "change", "shares"]
    return pl.concat([now.select(columns), closed.select(columns)]).sort(
        "fund_id", "quarter", "company_id"
    )


def reported_quarters(filings: pl.DataFrame) -> pl.DataFrame:
    """List the quarters each fund reported on: fund_id, quarter, filed (newest), previous."""
    return (
        filings.filter("used")
        .group_by("fund_id", "quarter")
        .agg(pl.col("filed").max())
        .sort("fund_id", "quarter")
        .with_columns(previous=pl.col("quarter").shift(1).over("fund_id"))
    )


def _simple_ratio(ratio: pl.Expr) -> pl.Expr:
    larger = pl.max_horizontal(ratio, 1 / ratio)
    simple_ratio = larger.round()
    return pl.when(ratio > 1).then(simple_ratio).otherwise(1 / simple_ratio)


def _beside_previous(held: pl.DataFrame, quarters: pl.DataFrame) -> pl.DataFrame:
    before = held.select(*_KEYS, previous="quarter", shares_before="shares", price_before="price")
    return held.join(
        quarters.select("fund_id", "quarter", "previous"), on=["fund_id", "quarter"]
    ).join(before, on=[*_KEYS, "previous"])


def _change() -> pl.Expr:
    now, before = pl.col("shares"), pl.col("comparable")
    rounding = 1e-3 * before * pl.col("ratio").is_not_null()
    return (
        pl.when(pl.col("previous").is_null())
        .then(pl.lit("held"))
        .when(before.is_null())
        .then(pl.lit("new"))
        .when(now > before + rounding)
        .then(pl.lit("increased"))
        .when(now < before - rounding)
        .then(pl.lit("reduced"))
        .otherwise(pl.lit("held"))
    )

"""Units of filings: thousands or dollars, and filings that are off by a factor of 1,000."""

import polars as pl

MIN_MANAGERS = 3
MIN_DEVIATION = 2.0


def correct_units(lines: pl.DataFrame, filings: pl.DataFrame) -> pl.DataFrame:
    """Find what every filing's values must be multiplied by to be dollars.

    Values are thousands of dollars in filings made before 2023 and dollars after. Whether a filing
    kept to that shows its implied prices, value / shares: where the median over its CUSIPs that at
    least three managers report for the quarter of |log10(price / median price)| is above 2, the
    filing is off by a factor of 1,000 and is corrected.

    Args:
        lines: accession, cusip, value, shares.
        filings: accession, fund_id, quarter, thousands.

    Returns:
        The filings with comparable (bool: some CUSIP could be compared), corrected_factor (1.0
        where nothing was corrected), and unit, what a filed value is multiplied by in all.
    """
    unit = pl.when("thousands").then(1000.0).otherwise(1.0)
    prices = (
        lines.filter((pl.col("value") > 0) & (pl.col("shares") > 0))
        .group_by("accession", "cusip")
        .agg(pl.col("value").sum(), pl.col("shares").sum())
        .join(filings.select("accession", "fund_id", "quarter", "thousands"), on="accession")
        .with_columns(price=pl.col("value") * unit / pl.col("shares"))
    )
    market = pl.col("price").median().over("quarter", "cusip")
    managers = pl.col("fund_id").n_unique().over("quarter", "cusip")
    deviation = (pl.col("price") / market).log10()
    deviations = (
        prices.with_columns(deviation=deviation, managers=managers)
        .filter(pl.col("managers") >= MIN_MANAGERS)
        .group_by("accession")
        .agg(size=pl.col("deviation").abs().median(), signed=pl.col("deviation").median())
    )
    steps = (pl.col("signed") / 3).round()
    factor = pl.when(pl.col("size") > MIN_DEVIATION).then(pl.lit(1000.0).pow(-steps)).otherwise(1.0)
    return (
        filings.join(deviations, on="accession", how="left", maintain_order="left")
        .with_columns(
            comparable=pl.col("size").is_not_null(), corrected_factor=factor.fill_null(1.0)
        )
        .with_columns(unit=unit * pl.col("corrected_factor"))
        .drop("size", "signed")
    )

"""Lines of the information tables: checked, typed, and sorted into what counts as a position."""

from dataclasses import dataclass

import polars as pl

from training.data.importers.sec13f.bulk_tables import LINE, WHERE

_ETF = (
    r"\bETFS?\b|EXCHANGE[ -]TRADED|\bISHARES\b|\bSPDR\b|\bPROSHARES\b|\bPOWERSHARES\b|\bDIREXION\b"
    r"|\bVANGUARD (?:INDEX|INTL|INTERNATIONAL|WORLD|SPECIALIZED|TAX|WHITEHALL|SCOTTSDALE|ADMIRAL"
    r"|STAR|MUN|MUNICIPAL|CHARLOTTE|BD|BOND|WELLINGTON)\b|\bWISDOMTREE TR|\bINVESCO QQQ\b"
    r"|\bFIRST TR EXCH|\bSCHWAB STRATEGIC TR|\bGLOBAL X F(?:D|UND)S\b"
)


@dataclass(frozen=True)
class Lines:
    """What the information tables hold.

    Attributes:
        kept: Lines that are positions in shares: accession, issuer, cusip, company_id, etf (bool),
            value (as filed), shares.
        rejects: Lines that cannot be used: file, line, reason.
        counts: read, rejected, options, principal and empty lines; read is their sum plus kept.
        notes: Findings as sentences.
    """

    kept: pl.DataFrame
    rejects: pl.DataFrame
    counts: dict[str, int]
    notes: list[str]


def read_lines(holdings: pl.DataFrame, filings: pl.DataFrame, all_accessions: pl.Series) -> Lines:
    """Check the lines and keep those that are positions in shares.

    Options (PUTCALL) and principal amounts of debt (PRN) are counted and left out: they say
    something else than that the manager holds the company's shares. A CUSIP is text; one that
    lost leading zeros gets them back. The company is the issuer, the first six characters, so
    that share classes are one; an exchange-traded fund keeps its whole CUSIP, because all funds
    of a family share the six.

    Args:
        holdings: Lines of all INFOTABLEs.
        filings: Result of `read_filings`.
        all_accessions: Every filing there is, notices included.
    """
    cusip = pl.col("CUSIP").str.to_uppercase()
    short = cusip.str.len_chars().is_between(6, 8)
    lines = holdings.with_columns(
        cusip=pl.when(short).then(cusip.str.zfill(9)).otherwise(cusip),
        short=short,
        value=pl.col("VALUE").cast(pl.Float64, strict=False),
        shares=pl.col("SSHPRNAMT").cast(pl.Float64, strict=False),
    ).with_columns(reason=_reason(all_accessions))
    rejects = lines.filter(pl.col("reason").is_not_null())
    good = lines.filter(pl.col("reason").is_null()).with_columns(group=_group())
    own = good.filter(pl.col("ACCESSION_NUMBER").is_in(filings["accession"].implode()))
    kept = own.filter(pl.col("group") == "kept")
    counts = {
        "read": len(lines),
        "rejected": len(rejects),
        "notices": len(good) - len(own),
        **{name: int((own["group"] == name).sum()) for name in ("options", "principal", "empty")},
    }
    padded = int(kept["short"].sum())
    notes = [f"{padded} CUSIPs had lost leading zeros, which were put back"] if padded else []
    return Lines(
        kept.select(
            accession="ACCESSION_NUMBER",
            issuer=pl.col("NAMEOFISSUER").fill_null(""),
            cusip="cusip",
            company_id=pl.when(_is_etf()).then("cusip").otherwise(pl.col("cusip").str.head(6)),
            etf=_is_etf(),
            value="value",
            shares="shares",
        ),
        rejects.select(file=WHERE, line=LINE, reason="reason"),
        counts,
        notes,
    )


def _reason(all_accessions: pl.Series) -> pl.Expr:
    known = pl.col("ACCESSION_NUMBER").is_in(all_accessions.implode()).fill_null(value=False)
    shown = pl.format("CUSIP '{}' is not 9 letters and digits", pl.col("CUSIP").fill_null(""))
    return (
        pl.when(~known)
        .then(pl.lit("filing is not in SUBMISSION"))
        .when(~pl.col("cusip").str.contains(r"^[0-9A-Z*@#]{9}$").fill_null(value=False))
        .then(shown)
        .when(~_amount("value"))
        .then(pl.format("VALUE '{}' is no amount", pl.col("VALUE").fill_null("")))
        .when(~_amount("shares"))
        .then(pl.format("SSHPRNAMT '{}' is no amount", pl.col("SSHPRNAMT").fill_null("")))
    )


def _amount(column: str) -> pl.Expr:
    return (pl.col(column).is_finite() & (pl.col(column) >= 0)).fill_null(value=False)


def _group() -> pl.Expr:
    return (
        pl.when(pl.col("PUTCALL").is_not_null())
        .then(pl.lit("options"))
        .when(pl.col("SSHPRNAMTTYPE").str.to_uppercase() == "PRN")
        .then(pl.lit("principal"))
        .when((pl.col("value") == 0) & (pl.col("shares") == 0))
        .then(pl.lit("empty"))
        .otherwise(pl.lit("kept"))
    )


def _is_etf() -> pl.Expr:
    named = pl.col("NAMEOFISSUER").fill_null("").str.to_uppercase().str.contains(_ETF)
    titled = pl.col("TITLEOFCLASS").fill_null("").str.to_uppercase().str.contains(r"\bETFS?\b")
    return named | titled

"""What is known about the companies: tables keyed by CUSIP, issuer (CUSIP-6), ticker or name."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from training.errors import SchemaError

KEYS: dict[str, tuple[str, ...]] = {
    "cusip": ("cusip", "cusip9"),
    "cusip6": ("cusip6", "cusip_6", "issuer_cusip"),
    "ticker": ("ticker", "symbol"),
    "name": ("name", "company", "company_name", "issuer", "nameofissuer", "title"),
}
"""Column names by which a table's key is known; the first key found is used."""
_IDENTITY = {"cusip", "cusip6", "ticker", "name", "item_id", "etf"}
_LEGAL = (
    r"\b(?:INC|INCORPORATED|CORP|CORPORATION|CO|COMPANY|LTD|LIMITED|PLC|LLC|LP|NV|SA|SE|AG|AB|ASA"
    r"|HLDGS|HOLDINGS|HOLDING|GROUP|GRP|THE|NEW|COM|CL [A-C]|CLASS [A-C]|SHS|ADR|DEL)\b"
)


def find_company_tables(source: Path) -> list[Path]:
    """Tables called ``companies.*`` beside the SEC's (CSV, TSV, Parquet; .gz allowed)."""
    return sorted(source.glob("companies.*")) if source.is_dir() else []


def read_company_table(path: Path) -> tuple[str, pl.DataFrame]:
    """Read one table; ids stay text, column names become lower case.

    Returns:
        The key (one of `KEYS`) and the table, its key column under that name, one row per key.

    Raises:
        SchemaError: It cannot be read, or no column is a key.
    """
    table = _read(path)
    table = table.rename({column: _plain(column) for column in table.columns})
    for key, names in KEYS.items():
        found = next((name for name in names if name in table.columns), None)
        if found is not None:
            table = table.rename({found: key}) if found != key else table
            values = pl.col(key).cast(pl.String).str.strip_chars()
            table = table.with_columns(values.replace("", None)).drop_nulls(key)
            return key, table.unique(key, keep="first", maintain_order=True)
    choices = ", ".join(names[0] for names in KEYS.values())
    raise SchemaError(
        f"{path}: none of its columns {', '.join(table.columns)} says which company a row is "
        f"about; name one of them {choices}"
    )


def company_items(
    lines: pl.DataFrame, tables: Sequence[tuple[str, pl.DataFrame]]
) -> tuple[pl.DataFrame, int]:
    """One row per company that occurs in a filing, with everything the tables say about it.

    Tables with a CUSIP come first whatever their order, then those by ticker, which need a ticker
    from one before, then by name (legal forms and share classes aside). A later table fills gaps
    and adds columns; it never overwrites.

    Args:
        lines: company_id, cusip, issuer, etf.
        tables: Results of `read_company_table`.

    Returns:
        Columns item_id, name, ticker, etf (yes or no), and the tables' others; sorted by item_id.
        And the number of companies with a row in some table.
    """
    items = (
        lines.group_by("company_id")
        .agg(
            cusip=pl.col("cusip").mode().min(),
            issuer=pl.col("issuer").mode().min(),
            etf=pl.col("etf").any(),
        )
        .sort("company_id")
        .select(
            item_id="company_id",
            cusip="cusip",
            issuer="issuer",
            name=pl.lit(None, pl.String),
            ticker=pl.lit(None, pl.String),
            etf=pl.when("etf").then(pl.lit("yes")).otherwise(pl.lit("no")),
            matched=pl.lit(False),
        )
    )
    order = list(KEYS)
    for key, table in sorted(tables, key=lambda entry: order.index(entry[0])):
        items = _joined(items, key, table)
    items = items.with_columns(name=pl.coalesce("name", "issuer"))
    return items.drop("issuer", "matched"), int(items["matched"].sum())


def categorical_columns(items: pl.DataFrame) -> list[str]:
    """Columns that are domain features: text whose values repeat, two different ones at least."""
    found = []
    for name in items.columns:
        values = items[name].drop_nulls()
        if name in _IDENTITY or values.dtype != pl.String or values.is_empty():
            continue
        if 2 <= values.n_unique() <= len(values) / 2:
            found.append(name)
    return found


def _joined(items: pl.DataFrame, key: str, table: pl.DataFrame) -> pl.DataFrame:
    if key == "name":
        own = _name_key(pl.coalesce("name", "issuer"))
        theirs = _name_key(pl.col("name"))
    elif key == "cusip":
        whole = pl.col("cusip").str.to_uppercase().str.zfill(9)
        own = pl.col("item_id")
        known = whole.is_in(items["item_id"].implode())
        theirs = pl.when(known).then(whole).otherwise(whole.str.head(6))
    elif key == "cusip6":
        own, theirs = (
            pl.col("item_id").str.head(6),
            pl.col("cusip6").str.to_uppercase().str.zfill(6),
        )
    else:
        own = theirs = pl.col("ticker").str.to_uppercase()
    values = {
        name: f"table {name}" for name in table.columns if name not in ("cusip", "cusip6", "etf")
    }
    keyed = (
        table.with_columns(theirs.alias("join key"))
        .filter(pl.col("join key") != "")
        .unique("join key", keep="first", maintain_order=True)
        .select("join key", pl.col(list(values)).name.prefix("table "), found=pl.lit(True))
    )
    joined = items.with_columns(own.alias("join key")).join(
        keyed, on="join key", how="left", maintain_order="left"
    )
    filled = [
        (pl.coalesce(name, column) if name in items.columns else pl.col(column)).alias(name)
        for name, column in values.items()
    ]
    return joined.with_columns(
        *filled, matched=pl.col("matched") | pl.col("found").fill_null(value=False)
    ).drop("join key", "found", *values.values())


def _name_key(name: pl.Expr) -> pl.Expr:
    words = name.str.to_uppercase().str.replace_all(r"[^0-9A-Z ]+", " ")
    return words.str.replace_all(_LEGAL, " ").str.replace_all(r"\s+", " ").str.strip_chars()


def _read(path: Path) -> pl.DataFrame:
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if kind == ".parquet":
        try:
            return pl.read_parquet(path, glob=False, hive_partitioning=False)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise SchemaError(f"{path} cannot be read as Parquet: {error}") from error
    separator = "\t" if kind in (".tsv", ".tab") else ","
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        _check_widths(content, separator, path)
        return pl.read_csv(content, separator=separator, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error) as error:
        raise SchemaError(f"{path} cannot be read as a table of companies: {error}") from error


def _check_widths(content: bytes, separator: str, path: Path) -> None:
    reader = csv.reader(io.StringIO(content.decode("utf-8", "replace")), delimiter=separator)
    try:
        header = next(reader, [])
        for row in reader:
            if row and len(row) != len(header):
                raise SchemaError(
                    f"{path}: line {reader.line_num} has {len(row)} fields, the header has "
                    f"{len(header)}; correct the line"
                )
    except csv.Error as error:
        raise SchemaError(f"{path}: line {reader.line_num}: {error}; correct the line") from error


def _plain(column: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", column.strip().lower()).strip("_") or "column"

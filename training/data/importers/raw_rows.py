"""Rows of a CSV, NDJSON or Parquet file as text, each with its line number."""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from training.errors import SchemaError

_TAB_ENDINGS = (".tsv", ".tab", ".inter")
_NDJSON_ENDINGS = (".ndjson", ".jsonl")


@dataclass
class RawRows:
    """Rows of a source file.

    Attributes:
        lines: Line (CSV, NDJSON) or row (Parquet) of every readable row, counted from 1.
        columns: The wanted columns as text, None where a row has no value.
        rejects: (line, reason) of rows that could not be read at all.
    """

    lines: list[int] = field(default_factory=list)
    columns: dict[str, list[str | None]] = field(default_factory=dict)
    rejects: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, values: Iterable[str | None]) -> None:
        """Append one readable row; ``values`` follow the order of `columns`."""
        self.lines.append(line)
        for column, value in zip(self.columns.values(), values, strict=True):
            column.append(value)


def read_raw(path: Path, columns: Sequence[str], delimiter: str | None = None) -> RawRows:
    """Read the wanted columns of one file, row by row; broken rows become rejects.

    The kind follows the name: ``.parquet``; ``.ndjson`` and ``.jsonl``; anything else is CSV
    (tabs for ``.tsv``, ``.tab``, ``.inter``). ``.gz`` after it is unpacked.

    Args:
        path: Source file.
        columns: Names of the columns to keep.
        delimiter: One character, overrides the guess for CSV.

    Raises:
        SchemaError: The file is missing, empty, or lacks a column; the message lists those it has.
    """
    if not path.is_file():
        raise SchemaError(f"{path} does not exist or is no file; give the path of the interactions")
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if kind == ".parquet":
        return _read_parquet(path, columns)
    with _open_text(path) as file:
        if kind in _NDJSON_ENDINGS:
            return _read_ndjson(file, columns, path)
        return _read_csv(file, columns, path, delimiter or ("\t" if kind in _TAB_ENDINGS else ","))


def column_names(path: Path, delimiter: str | None = None) -> list[str]:
    """Names in the header of a CSV or Parquet file; [] for NDJSON, whose rows may differ."""
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if not path.is_file() or kind in _NDJSON_ENDINGS:
        return []
    if kind == ".parquet":
        return list(pl.read_parquet_schema(path))
    with _open_text(path) as file:
        header = csv.reader(file, delimiter=delimiter or ("\t" if kind in _TAB_ENDINGS else ","))
        return next(header, [])


def _read_parquet(path: Path, columns: Sequence[str]) -> RawRows:
    try:
        table = pl.read_parquet(path, glob=False, hive_partitioning=False)
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"{path} cannot be read as Parquet: {error}; write it again") from error
    _require(columns, table.columns, path)
    text = table.select(
        pl.col(name).dt.epoch("ms").cast(pl.String)
        if isinstance(table[name].dtype, pl.Datetime)
        else pl.col(name).cast(pl.String)
        for name in columns
    )
    lines = list(range(1, len(table) + 1))
    return RawRows(lines, {name: text[name].to_list() for name in columns})


def _read_csv(file: io.TextIOBase, columns: Sequence[str], path: Path, delimiter: str) -> RawRows:
    reader = csv.reader(file, delimiter=delimiter)
    header = next(reader, [])
    _require(columns, header, path)
    places = [header.index(name) for name in columns]
    rows = RawRows(columns={name: [] for name in columns})
    line = reader.line_num + 1
    try:
        for row in reader:
            if len(row) == len(header):
                rows.add(line, [row[place] or None for place in places])
            elif row:
                reason = f"{len(row)} fields, the header has {len(header)}"
                rows.rejects.append((line, reason))
            line = reader.line_num + 1
    except csv.Error as error:
        raise SchemaError(f"{path}: line {line}: {error}; check its quotes") from error
    return rows


def _read_ndjson(file: io.TextIOBase, columns: Sequence[str], path: Path) -> RawRows:
    rows = RawRows(columns={name: [] for name in columns})
    seen: set[str] = set()
    for line, text in _numbered(file):
        try:
            row = json.loads(text)
        except ValueError:
            rows.rejects.append((line, "not valid JSON"))
            continue
        if not isinstance(row, dict):
            rows.rejects.append((line, "not a JSON object"))
            continue
        seen.update(row)
        rows.add(line, [_as_text(row.get(name)) for name in columns])
    if rows.lines:
        _require(columns, sorted(seen), path)
    return rows


def _numbered(file: io.TextIOBase) -> Iterator[tuple[int, str]]:
    return ((line, text) for line, text in enumerate(file, start=1) if text.strip())


def _as_text(value: object) -> str | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value)


def _require(columns: Sequence[str], found: Sequence[str], path: Path) -> None:
    missing = [name for name in columns if name not in found]
    if missing:
        raise SchemaError(
            f"{path} has no column {missing[0]!r}; its columns are {', '.join(found) or 'none'}; "
            "map the names with the column options"
        )


@contextmanager
def _open_text(path: Path) -> Iterator[io.TextIOBase]:
    # Bytes that are not UTF-8 become lone surrogates, which the checks reject with their line.
    raw = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    with io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline="") as file:
        yield file

"""Rows of a CSV, NDJSON or Parquet file as text, each with its line number."""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
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


def read_raw(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    delimiter: str | None = None,
) -> RawRows:
    """Read the wanted columns of one file, row by row; broken rows become rejects.

    The kind follows the name: ``.parquet``; ``.ndjson`` and ``.jsonl``; anything else is CSV
    (tabs for ``.tsv``, ``.tab``, ``.inter``). ``.gz`` after it is unpacked.

    Args:
        path: Source file.
        required: Names of columns the file must have.
        optional: Names of columns that are all None where the file lacks them.
        delimiter: One character, overrides the guess for CSV.

    Raises:
        SchemaError: The file is missing, or lacks a required column.
    """
    if not path.is_file():
        raise SchemaError(f"{path} does not exist or is no file; give the path of the interactions")
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    wanted = _Wanted(path, tuple(required), tuple(optional))
    if kind == ".parquet":
        return _read_parquet(wanted)
    with _open_text(path) as file:
        if kind in _NDJSON_ENDINGS:
            return _read_ndjson(file, wanted)
        return _read_csv(file, wanted, delimiter or ("\t" if kind in _TAB_ENDINGS else ","))


@dataclass(frozen=True)
class _Wanted:
    """Columns to take from a file; each occurs once."""

    path: Path
    required: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.required, *self.optional)))

    def check(self, found: Sequence[str]) -> None:
        missing = [name for name in self.required if name not in found]
        if missing:
            raise SchemaError(
                f"{self.path} has no column {missing[0]!r}; its columns are "
                f"{', '.join(found) or 'none'}; map the names with the column options"
            )


def _read_parquet(wanted: _Wanted) -> RawRows:
    path = wanted.path
    try:
        table = pl.read_parquet(path, glob=False, hive_partitioning=False)
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"{path} cannot be read as Parquet: {error}; write it again") from error
    wanted.check(table.columns)
    columns: dict[str, list[str | None]] = {}
    for name in wanted.columns:
        if name not in table.columns:
            columns[name] = [None] * len(table)
        elif isinstance(table[name].dtype, pl.Datetime):
            columns[name] = table[name].dt.epoch("ms").cast(pl.String).to_list()
        else:
            columns[name] = table[name].cast(pl.String).to_list()
    return RawRows(list(range(1, len(table) + 1)), columns)


def _read_csv(file: io.TextIOBase, wanted: _Wanted, delimiter: str) -> RawRows:
    reader = csv.reader(file, delimiter=delimiter)
    header = next(reader, [])
    wanted.check(header)
    places = [header.index(name) if name in header else None for name in wanted.columns]
    rows = RawRows(columns={name: [] for name in wanted.columns})
    line = reader.line_num + 1
    try:
        for row in reader:
            if len(row) == len(header):
                rows.add(line, [None if place is None else row[place] or None for place in places])
            elif row:
                reason = f"{len(row)} fields, the header has {len(header)}"
                rows.rejects.append((line, reason))
            line = reader.line_num + 1
    except csv.Error as error:
        raise SchemaError(f"{wanted.path}: line {line}: {error}; check its quotes") from error
    return rows


def _read_ndjson(file: io.TextIOBase, wanted: _Wanted) -> RawRows:
    rows = RawRows(columns={name: [] for name in wanted.columns})
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
        rows.add(line, [_as_text(row.get(name)) for name in wanted.columns])
    if rows.lines:
        wanted.check(sorted(seen))
    return rows


def _numbered(file: io.TextIOBase) -> Iterator[tuple[int, str]]:
    return ((line, text) for line, text in enumerate(file, start=1) if text.strip())


def _as_text(value: object) -> str | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value)


@contextmanager
def _open_text(path: Path) -> Iterator[io.TextIOBase]:
    # Bytes that are not UTF-8 become lone surrogates, which the checks reject with their line.
    with (
        path.open("rb") as stored,
        gzip.open(stored) if path.suffix == ".gz" else nullcontext(stored) as raw,
        io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline="") as file,
    ):
        yield file

"""The three tables of the SEC's Form 13F data sets, read from zips or folders of several quarters.

A set is a zip, or a folder with the files, of SUBMISSION.tsv, COVERPAGE.tsv and INFOTABLE.tsv (each
may be gzipped). Every problem names the file and the line.
"""

import gzip
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from training.errors import SchemaError

TABLES = ("SUBMISSION", "COVERPAGE", "INFOTABLE")
_COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "SUBMISSION": (
        ("ACCESSION_NUMBER", "FILING_DATE", "SUBMISSIONTYPE"),
        ("CIK", "PERIODOFREPORT"),
    ),
    "COVERPAGE": (
        ("ACCESSION_NUMBER", "FILINGMANAGER_NAME"),
        ("REPORTCALENDARORQUARTER", "ISAMENDMENT", "AMENDMENTTYPE"),
    ),
    "INFOTABLE": (
        ("ACCESSION_NUMBER", "NAMEOFISSUER", "CUSIP", "VALUE", "SSHPRNAMT"),
        ("TITLEOFCLASS", "SSHPRNAMTTYPE", "PUTCALL"),
    ),
}
WHERE = "where"
LINE = "line"


@dataclass(frozen=True)
class BulkTables:
    """The tables of all sets, one below the other.

    All columns are text, absent ones are null; ``where`` is the file and ``line`` the line in it.

    Attributes:
        submissions: One row per filing: SUBMISSION's columns.
        covers: One row per filing: COVERPAGE's columns.
        holdings: One row per line of a filing's table: INFOTABLE's columns.
        num_sets: Sets that were read.
    """

    submissions: pl.DataFrame
    covers: pl.DataFrame
    holdings: pl.DataFrame
    num_sets: int


def read_bulk_tables(source: Path) -> BulkTables:
    """Read every set of a folder and of its direct subfolders, or one zip.

    A filing that occurs in two sets is read from the first one.

    Raises:
        SchemaError: There is no set, a table is missing or lacks a column, or a line has more
            fields than the header.
    """
    sets = list(_sets(source))
    if not sets:
        raise SchemaError(
            f"{source} holds no Form 13F data set; give the folder of the SEC's zips, or of "
            f"{', '.join(f'{name}.tsv' for name in TABLES)} (.gz allowed)"
        )
    tables: dict[str, list[pl.DataFrame]] = {name: [] for name in TABLES}
    seen: set[str] = set()
    for found in sets:
        read = {name: _parse(found.read(name), found.where(name), name) for name in TABLES}
        fresh = set(read["SUBMISSION"]["ACCESSION_NUMBER"].drop_nulls().to_list()) - seen
        for name, table in read.items():
            again = pl.col("ACCESSION_NUMBER").is_in(list(seen)).fill_null(value=False)
            tables[name].append(table.filter(~again) if seen else table)
        seen |= fresh
    joined = {name: pl.concat(parts) for name, parts in tables.items()}
    return BulkTables(joined["SUBMISSION"], joined["COVERPAGE"], joined["INFOTABLE"], len(sets))


@dataclass(frozen=True)
class _Set:
    """Three tables in one zip (then `members` are names in it) or in one folder."""

    path: Path
    members: dict[str, str]

    def where(self, table: str) -> str:
        """Name of a table's file, for messages."""
        return f"{self.path}{':' if self.path.is_file() else '/'}{self.members[table]}"

    def read(self, table: str) -> bytes:
        """Unpacked content of a table.

        Raises:
            SchemaError: It cannot be unpacked.
        """
        member = self.members[table]
        try:
            if self.path.is_file():
                with zipfile.ZipFile(self.path) as archive:
                    content = archive.read(member)
            else:
                content = (self.path / member).read_bytes()
            return gzip.decompress(content) if member.lower().endswith(".gz") else content
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise SchemaError(
                f"{self.where(table)} cannot be unpacked: {error}; download it again"
            ) from error


def _sets(source: Path) -> Iterator[_Set]:
    if source.is_file():
        yield _of_zip(source)
        return
    if not source.is_dir():
        raise SchemaError(f"{source} does not exist; give the folder of the SEC's data sets")
    for folder in (source, *sorted(path for path in source.iterdir() if path.is_dir())):
        members = _members(path.name for path in sorted(folder.iterdir()) if path.is_file())
        if members:
            yield _complete(folder, members)
        yield from (_of_zip(path) for path in sorted(folder.glob("*.zip")))


def _of_zip(path: Path) -> _Set:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise SchemaError(f"{path} is no readable zip: {error}; download it again") from error
    return _complete(path, _members(names))


def _members(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        table, _, ending = name.rsplit("/", 1)[-1].upper().partition(".")
        if table in TABLES and ending in ("TSV", "TSV.GZ"):
            found.setdefault(table, name)
    return found


def _complete(path: Path, members: dict[str, str]) -> _Set:
    missing = [f"{name}.tsv" for name in TABLES if name not in members]
    if missing:
        raise SchemaError(
            f"{path} lacks {', '.join(missing)}; a Form 13F data set has "
            f"{', '.join(f'{name}.tsv' for name in TABLES)}; download it again"
        )
    return _Set(path, members)


def _parse(content: bytes, where: str, table: str) -> pl.DataFrame:
    required, optional = _COLUMNS[table]
    content = content.removeprefix(b"\xef\xbb\xbf")
    header, _, body = content.partition(b"\n")
    columns = [name.strip().upper() for name in header.decode("utf-8", "replace").split("\t")]
    _check_header(columns, required, where)
    wanted = [*required, *optional]
    if not body.strip():
        empty: dict[str, list[str]] = {name: [] for name in wanted}
        read = pl.DataFrame(empty, schema=dict.fromkeys(wanted, pl.String))
    else:
        read = _body(body, columns, where)
    absent = [pl.lit(None, pl.String).alias(name) for name in optional if name not in columns]
    return (
        read.with_columns(absent)
        .select(pl.col(wanted).str.strip_chars().replace("", None))
        .with_row_index(LINE, offset=2)
        .with_columns(pl.lit(where).alias(WHERE))
    )


def _check_header(columns: Sequence[str], required: Sequence[str], where: str) -> None:
    missing = [name for name in required if name not in columns]
    if missing:
        raise SchemaError(
            f"{where}: line 1: column {missing[0]} is missing; columns are {', '.join(columns)}; "
            "use the unchanged table of the SEC"
        )
    repeated = [name for name in columns if columns.count(name) > 1]
    if repeated:
        raise SchemaError(f"{where}: line 1: column {repeated[0]} occurs twice; keep one")


def _body(body: bytes, columns: list[str], where: str) -> pl.DataFrame:
    try:
        return pl.read_csv(
            body,
            has_header=False,
            new_columns=columns,
            schema=dict.fromkeys(columns, pl.String),
            separator="\t",
            quote_char=None,
            encoding="utf8-lossy",
        )
    except pl.exceptions.PolarsError as error:
        for line, text in enumerate(body.split(b"\n"), start=2):
            fields = text.count(b"\t") + 1
            if fields > len(columns):
                raise SchemaError(
                    f"{where}: line {line} has {fields} fields, the header has "
                    f"{len(columns)}; correct the line or download the data set again"
                ) from error
        raise SchemaError(f"{where} cannot be read as a table: {error}") from error

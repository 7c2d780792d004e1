"""The rows of published numbers, and the machine they were measured on."""

import fcntl
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from training.files import replace_text
from training.provenance import code_commit

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One published number.

    `value` is a mean where there are several seeds, `low` and `high` its spread or confidence
    interval; `setting` says what else matters, such as threads or the chosen parameters.
    """

    benchmark: str
    dataset: str
    model: str
    setting: str
    metric: str
    value: float
    low: float | None
    high: float | None
    seeds: Sequence[int]
    command: str
    commit: str


def command_line() -> str:
    """Return the command that is running, as a user would type it."""
    module = Path(sys.argv[0]).stem
    return shlex.join(["python", "-m", f"benchmarks.{module}", *sys.argv[1:]])


@cache
def commit() -> str:
    """Return the commit of the code as it was when first asked; `+` marks uncommitted changes."""
    return code_commit() or "unknown"


def machine() -> str:
    """Describe the machine: processors, Python."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def write_rows(name: str, rows: Iterable[Row], results: Path = RESULTS) -> None:
    """Merge rows into `<name>.json`; a row replaces the one it measures anew."""
    rows = list(rows)
    update_rows(name, lambda: rows, results)


def update_rows(
    name: str, measure: Callable[[], Iterable[Row]], results: Path = RESULTS
) -> list[Row]:
    """Merge the rows that `measure` returns into `<name>.json`, and return them.

    Processes that write into one folder take turns, from before `measure` looks at what is there
    until the file is written, so that none overwrites the newer rows of another.
    """
    identity = ("benchmark", "dataset", "model", "setting", "metric")
    path = results / f"{name}.json"
    with taking_turns(results):
        measured = list(measure())
        new = [asdict(row) for row in measured]
        replaced = {tuple(row[key] for key in identity) for row in new}
        kept = json.loads(path.read_text()) if path.exists() else []
        merged = [row for row in kept if tuple(row[key] for key in identity) not in replaced] + new
        merged.sort(key=lambda row: tuple(row[key] for key in identity))
        replace_text(path, "[\n" + ",\n".join(json.dumps(row) for row in merged) + "\n]\n")
    return measured


@contextmanager
def taking_turns(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder; it is made when it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def spread_row(
    benchmark: str,
    dataset: str,
    model: str,
    setting: str,
    metric: str,
    values: tuple[float, float, float],
) -> Row:
    """Return a row of seed 0 from a value and the ends of its interval, to four digits."""
    value, low, high = (round(number, 4) for number in values)
    return Row(
        benchmark=benchmark,
        dataset=dataset,
        model=model,
        setting=setting,
        metric=metric,
        value=value,
        low=low,
        high=high,
        seeds=[0],
        command=command_line(),
        commit=commit(),
    )

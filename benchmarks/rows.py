"""The rows of published numbers, and the machine they were measured on."""

import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
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
    return " ".join(["python -m", f"benchmarks.{module}", *sys.argv[1:]])


@cache
def commit() -> str:
    """Return the commit of the code as it was when first asked; `+` marks uncommitted changes."""
    return code_commit() or "unknown"


def machine() -> str:
    """Describe the machine: processors, Python."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def write_rows(name: str, rows: Iterable[Row]) -> Path:
    """Merge rows into `results/<name>.json`; a row replaces the one it measures anew."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    kept = json.loads(path.read_text()) if path.exists() else []
    identity = ("benchmark", "dataset", "model", "setting", "metric")
    new = [asdict(row) for row in rows]
    replaced = {tuple(row[key] for key in identity) for row in new}
    merged = [row for row in kept if tuple(row[key] for key in identity) not in replaced] + new
    merged.sort(key=lambda row: tuple(row[key] for key in identity))
    replace_text(path, "[\n" + ",\n".join(json.dumps(row) for row in merged) + "\n]\n")
    return path

"""The lines of a source that an importer could not use."""

from pathlib import Path

import polars as pl


def write_rejects(target: Path, rejects: pl.DataFrame) -> Path | None:
    """Write the lines that could not be used beside `target`; return where, None without any."""
    path = target.parent / f"{target.name}.rejects.csv"
    path.unlink(missing_ok=True)
    if rejects.is_empty():
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    rejects.write_csv(path)
    return path

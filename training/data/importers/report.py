"""What an import did."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ImportReport:
    """Result of one import. ``read = interactions + rejected + collapsed`` always holds.

    Attributes:
        name: Name of the data set.
        folder: The dataset folder that was written.
        counts: users, items, read (rows of the source), interactions (rows written), and what
            else the importer counts.
        rejected: Rows that could not be used.
        warnings: Findings worth a look, as sentences.
        reject_file: CSV of the rejected rows (line, reason), None when there are none.
    """

    name: str
    folder: Path
    counts: dict[str, int]
    rejected: int = 0
    warnings: tuple[str, ...] = field(default=())
    reject_file: Path | None = None

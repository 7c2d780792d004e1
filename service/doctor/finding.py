"""What a check found."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One check's outcome.

    Attributes:
        check: what was looked at.
        level: ``error`` loses data or answers, ``warning`` may.
        says: what was found, with its values.
        fix: what to do; empty when nothing is wrong.
    """

    check: str
    level: Level
    says: str
    fix: str = ""

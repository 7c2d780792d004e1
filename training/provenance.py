"""Which state of the code made a result."""

import subprocess
from pathlib import Path

MADE_BY = (
    *("models", "training", "service", "mutualrec"),
    *("benchmarks/configs", "benchmarks/experiments"),
)
"""What decides a result; rows and pages change while benchmarks run."""


def code_commit() -> str | None:
    """Return the commit of the checkout this code runs from, `+` appended when it was changed.

    None outside a git checkout, as in a container image.
    """
    folder = Path(__file__).parents[1]
    try:
        head, status = (
            subprocess.run(
                ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
            ).stdout.strip()
            for arguments in (
                ["rev-parse", "--short=12", "HEAD"],
                ["status", "--porcelain", "--", *MADE_BY],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}+" if status else head

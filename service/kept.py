"""What was worked out of versions and is kept beside them; it may be deleted at any time."""

import os
from collections.abc import Callable
from pathlib import Path

from service.artifact import Artifact

FOLDER = ".index"


def kept_path(artifact: Artifact, name: str) -> Path:
    """The file of that name of a version."""
    return artifact.folder.parent / FOLDER / f"{artifact.version}{name}"


def keep(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file whole, and deletes what was kept of versions that are gone.

    Args:
        path: below `FOLDER`.
        write: writes it to the given place.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(exist_ok=True)
    place = path.with_name(f"{path.name}.{os.getpid()}")
    write(place)
    place.replace(path)
    for other in path.parent.iterdir():
        version = other.name.partition(".")[0]
        if not (path.parent.parent / version).is_dir():
            other.unlink(missing_ok=True)

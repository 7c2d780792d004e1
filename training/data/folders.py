"""Writing a whole folder or nothing."""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from training.errors import DataError

MARKER = "dataset.toml"


def replace_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a temporary folder beside ``folder``, sync it and rename it into place.

    A folder that is replaced is moved aside before and deleted after the rename. When anything
    fails before the rename, the old folder stays as it was and the temporary one is removed.
    A machine that stops between the two renames leaves no target, but the complete old folder
    beside it, as ``.<name>.<token>.old``; rename it back.

    Args:
        folder: Target; absent, empty, or a dataset folder.
        fill: Writes the files into the folder it is given.

    Raises:
        DataError: The target exists and is not a dataset folder.
    """
    _refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex[:12]
    fresh = folder.parent / f".{folder.name}.{token}.new"
    old = folder.parent / f".{folder.name}.{token}.old"
    fresh.mkdir()
    try:
        fill(fresh)
        _sync_tree(fresh)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    _sync(folder.parent)


def _refuse_foreign(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; choose another target or remove it")
    if any(folder.iterdir()) and not (folder / MARKER).exists():
        raise DataError(
            f"{folder} is not empty and holds no {MARKER}, so it is not a dataset folder and is "
            "left alone; choose another target"
        )


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

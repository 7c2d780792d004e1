"""Writing files and folders completely or not at all."""

import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import DataError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a draft beside `path` that takes its place when the block ends without an error.

    The draft has the suffix of `path`; it is synced, renamed, and the rename is synced. After an
    error, or when the machine stops, `path` is what it was.
    """
    draft = path.with_name(f".{uuid.uuid4().hex[:12]}-{path.name}")
    try:
        yield draft
        sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)


def replace_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def replace_folder(folder: Path, fill: Callable[[Path], None], marker: str) -> None:
    """Fill a temporary folder beside ``folder``, sync it and rename it into place.

    A folder that is replaced is moved aside before and deleted after the rename. When anything
    fails before the rename, the old folder stays as it was and the temporary one is removed.
    A machine that stops between the two renames leaves no target, but the complete old folder
    beside it, as ``.<name>.<token>.old``; rename it back.

    Args:
        folder: Target; absent, empty, or a folder that holds the marker.
        fill: Writes the files into the folder it is given.
        marker: Name of the file by which a folder that may be replaced is known.

    Raises:
        DataError: The target exists and is no such folder.
    """
    _refuse_foreign(folder, marker)
    folder.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex[:12]
    fresh = folder.parent / f".{folder.name}.{token}.new"
    old = folder.parent / f".{folder.name}.{token}.old"
    fresh.mkdir()
    try:
        fill(fresh)
        for path in fresh.rglob("*"):
            sync(path)
        sync(fresh)
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
    sync(folder.parent)


@contextmanager
def taking(path: Path, *, wait: bool, shared: bool = False) -> Iterator[bool]:
    """Be the one process that works on a file or folder, which need not exist yet.

    Args:
        path: What is worked on; a lock file stays beside it.
        wait: Wait while another process holds it; otherwise False is yielded at once.
        shared: Let others in who share it as well.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("a") as lock:
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(lock, kind | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def sync(path: Path) -> None:
    """Force a file, or the entries of a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_foreign(folder: Path, marker: str) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; choose another target or remove it")
    if any(folder.iterdir()) and not (folder / marker).exists():
        raise DataError(
            f"{folder} is not empty and holds no {marker}, so it is left alone; "
            "choose another target"
        )

"""Moving ``CURRENT``, one mover at a time, and never by a trainer that a newer one has replaced.

Whoever moves it holds a lock on the catalog's folder, which the kernel drops when its holder dies.
A trainer also has a fencing token, a number that rises with every lease. It writes the token into
``FENCE`` before it looks at the current version, and may move ``CURRENT`` only while no higher
number stands there. Both happen under the lock, so:

* from the moment a newer trainer has entered, an older one cannot move ``CURRENT``, however late
  it wakes up and whatever it believes about its lease;
* a trainer whose lease has run out cannot either, as Redis is asked under the lock as well. One
  whose lease runs out between that answer and the rename does, if no newer one has entered by
  then; the newer one finds that version as the current one when it enters, so that nothing is
  overwritten unseen.

``PINNED`` names the version that a catalog is pinned to; while it is there nothing moves.
``SERVED`` names the versions that were current, whatever the gate had said of them.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.errors import (
    ArtifactError,
    ArtifactNotFound,
    CurrentMoved,
    TrainerFenced,
    VersionPinned,
)
from service.versions import (
    check_catalog,
    current_version,
    list_versions,
    require_version,
    set_current,
    write_small_file,
)

FENCE = "FENCE"
PINNED = "PINNED"
SERVED = "SERVED"


@dataclass(frozen=True)
class Fence:
    """A trainer's right to publish.

    Attributes:
        token: its fencing token.
        confirm: asks Redis whether the lease still stands, and raises if it does not.
    """

    token: int
    confirm: Callable[[], None]


@contextmanager
def moving(root: Path, catalog: str) -> Iterator[Path]:
    """Holds the lock of a catalog's folder and yields the folder.

    Raises:
        ArtifactNameInvalid: the catalog's name is not allowed.
        ArtifactNotFound: nothing was ever written for the catalog.
    """
    folder = root / check_catalog(catalog)
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError as error:
        raise ArtifactNotFound(
            f"catalog {catalog!r} was never published under {root}; publish it with"
            " `mutualrec publish`"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(handle)


def highest_fence(root: Path, catalog: str) -> int:
    """The highest token that entered the catalog, 0 if none did."""
    try:
        return int((root / check_catalog(catalog) / FENCE).read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0


def enter(root: Path, catalog: str, token: int) -> None:
    """Shuts out every trainer with a lower token.

    Raises:
        TrainerFenced: a higher one has entered already.
    """
    with moving(root, catalog) as folder:
        _check_fence(root, catalog, token)
        write_small_file(folder / FENCE, f"{token}\n")


def promote(
    root: Path,
    catalog: str,
    version: str,
    *,
    expected: str | None = None,
    fence: Fence | None = None,
) -> str | None:
    """Makes a version the current one, atomically and durably.

    Args:
        root: the folder of all catalogs.
        catalog: the catalog.
        version: a complete version.
        expected: the version that must be current now; None for whichever is.
        fence: the right of the trainer that asks; None where a human does.

    Returns:
        The version that was current before; None if none was, or it could not be read.

    Raises:
        ArtifactNameInvalid: a name is not allowed.
        ArtifactNotFound: the version does not exist.
        VersionPinned: the catalog is pinned to another version.
        TrainerFenced: a newer trainer has entered.
        CurrentMoved: another version than the expected one is current.
    """
    with moving(root, catalog) as folder:
        require_version(root, catalog, version)
        if fence is not None:
            _check_fence(root, catalog, fence.token)
            fence.confirm()
        _check_pin(folder, catalog, version)
        before = _current_or_none(root, catalog)
        if expected is not None and before != expected:
            raise CurrentMoved(
                f"catalog {catalog!r} was moved from {expected} to {before or 'no version'} in the"
                " meantime; judge the candidate against that one"
            )
        _note_served(folder, before)
        set_current(root, catalog, version)
    return before


def pinned_version(root: Path, catalog: str) -> str | None:
    """The version a catalog is pinned to, None if it is not."""
    try:
        text = (root / check_catalog(catalog) / PINNED).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return text.strip()


def served_versions(root: Path, catalog: str) -> frozenset[str]:
    """The versions known to have been current before the one that is."""
    try:
        text = (root / check_catalog(catalog) / SERVED).read_text(encoding="utf-8")
    except FileNotFoundError:
        return frozenset()
    return frozenset(text.split())


def pin(root: Path, catalog: str, version: str) -> None:
    """Makes a version current and keeps it so until it is unpinned.

    Raises:
        ArtifactNotFound: the version does not exist.
        VersionPinned: the catalog is pinned to another one.
    """
    with moving(root, catalog) as folder:
        require_version(root, catalog, version)
        _check_pin(folder, catalog, version)
        # In this order a crash in between leaves a pinned catalog that was not moved yet, and the
        # same call goes on from there.
        write_small_file(folder / PINNED, f"{version}\n")
        _note_served(folder, _current_or_none(root, catalog))
        set_current(root, catalog, version)


def unpin(root: Path, catalog: str) -> str | None:
    """Lets the catalog move again; returns what it was pinned to."""
    with moving(root, catalog) as folder:
        version = pinned_version(root, catalog)
        (folder / PINNED).unlink(missing_ok=True)
    return version


def _note_served(folder: Path, version: str | None) -> None:
    """Adds a version, before it is replaced; those that were deleted are left out."""
    root, catalog = folder.parent, folder.name
    known = served_versions(root, catalog)
    if version is None or version in known:
        return
    names = (known | {version}).intersection(list_versions(root, catalog))
    write_small_file(folder / SERVED, "".join(f"{name}\n" for name in sorted(names)))


def _check_fence(root: Path, catalog: str, token: int) -> None:
    highest = highest_fence(root, catalog)
    if token < highest:
        raise TrainerFenced(
            f"catalog {catalog!r}: this trainer's token is {token}, one with token {highest} has"
            " begun since; the current version stays, run the retraining again"
        )


def _check_pin(folder: Path, catalog: str, version: str) -> None:
    held = pinned_version(folder.parent, catalog)
    if held is not None and held != version:
        raise VersionPinned(
            f"catalog {catalog!r} is pinned to {held}; unpin it first with"
            " `mutualrec versions unpin`"
        )


def _current_or_none(root: Path, catalog: str) -> str | None:
    try:
        return current_version(root, catalog)
    except ArtifactError:
        return None  # it is damaged; moving on from it is how that is repaired

"""Deleting old versions by count and age; what is served or pinned always stays."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from service.artifact_writer import utc_now
from service.publishing.listing import ListedVersion, describe_versions
from service.publishing.pointer import moving
from service.versions import sync_folder

_LEFTOVER_AGE = timedelta(days=1)


@dataclass(frozen=True)
class PrunedVersions:
    """What a prune did.

    Attributes:
        deleted: versions that are gone, oldest first.
        kept: versions that would have gone but are needed, oldest first, and what for.
    """

    deleted: list[str]
    kept: Mapping[str, str]


def prune_versions(
    root: Path,
    catalog: str,
    *,
    keep: int,
    older_than: timedelta = timedelta(0),
    needed: Mapping[str, str] = MappingProxyType({}),
    dry_run: bool = False,
    clock: Callable[[], datetime] = utc_now,
) -> PrunedVersions:
    """Deletes versions that are neither among the newest `keep` nor younger than `older_than`.

    The current and the pinned version stay, and the one that a rollback would go to. A version that
    was never served, refused or held by a pin, does not count among the newest, so that it never
    pushes out what was; it goes by its age and the newest `keep` of its kind. What a killed trainer
    or an earlier killed prune has left half-done goes with them, when it is a day old.

    Args:
        root: the folder of all catalogs.
        catalog: the catalog.
        keep: how many of the newest stay, at least 1.
        older_than: younger versions stay as well.
        needed: versions that must stay, and what for; `arms_of` says which experiments need.
        dry_run: delete nothing, only tell.
        clock: gives an aware time.

    Raises:
        ArtifactNotFound: the catalog has no version.
    """
    with moving(root, catalog) as folder:
        listed = describe_versions(root, catalog)
        served = [one for one in listed if one.state in ("current", "published")]
        unserved = [one for one in listed if one.state in ("refused", "held")]
        current = next((one.version for one in served if one.state == "current"), None)
        back = [one.version for one in served if current is None or one.version < current][-1:]
        stay = {
            *(one.version for one in served[-keep:]),
            *(one.version for one in unserved[-keep:]),
            *(one.version for one in listed if one.pinned or one.state == "current"),
            *back,
        }
        oldest = clock() - older_than
        doomed = [
            one.version for one in listed if one.version not in stay and not _younger(one, oldest)
        ]
        kept = {version: needed[version] for version in doomed if version in needed}
        doomed = [version for version in doomed if version not in kept]
        if not dry_run:
            for version in doomed:
                _delete(folder, version)
            _delete_leftovers(folder, clock() - _LEFTOVER_AGE)
    return PrunedVersions(doomed, kept)


def _younger(listed: ListedVersion, moment: datetime) -> bool:
    # A damaged manifest cannot say; its name can.
    created = datetime.strptime(listed.version[:21] + "+0000", "%Y%m%dT%H%M%S%f%z")
    return created > moment


def _delete_leftovers(folder: Path, moment: datetime) -> None:
    """Younger drafts may be somebody's who is still writing."""
    for pattern in (".writing-*", ".deleting-*"):
        for path in folder.glob(pattern):
            with suppress(FileNotFoundError):  # its writer has just finished
                if datetime.fromtimestamp(path.stat().st_mtime, UTC) < moment:
                    shutil.rmtree(path)


def _delete(folder: Path, version: str) -> None:
    """Takes the version out of the list first, then deletes it: a kill leaves no half version."""
    grave = folder / f".deleting-{version}"
    (folder / version).rename(grave)
    sync_folder(folder)
    shutil.rmtree(grave)

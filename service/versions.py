"""Catalog and version folders under the artifact root, and the pointer ``CURRENT``.

Part of the contract re-exported by ``service.artifact``.
"""

import os
import re
import secrets
from pathlib import Path

from service.errors import ArtifactNameInvalid, ArtifactNotFound

CURRENT = "CURRENT"
MANIFEST = "manifest.json"
VERSIONS_CHANNEL = "mr:versions"
"""Redis channel on which the name of a catalog says that its CURRENT was moved."""

_CATALOG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_VERSION = re.compile(r"[0-9]{8}T[0-9]{12}Z-[0-9a-f]{8}")


def check_catalog(catalog: str) -> str:
    """Returns `catalog` if it is 1-64 of ``A-Za-z0-9_-`` starting with a letter or digit.

    Raises:
        ArtifactNameInvalid: it is anything else.
    """
    if not _CATALOG.fullmatch(catalog):
        raise ArtifactNameInvalid(
            f"catalog name {catalog!r} is not allowed; use 1-64 letters, digits, '_' or '-'"
        )
    return catalog


def check_version(version: str) -> str:
    """Returns `version` if it looks like ``20260131T120000123456Z-0a1b2c3d``.

    Raises:
        ArtifactNameInvalid: it is anything else.
    """
    if not _VERSION.fullmatch(version):
        raise ArtifactNameInvalid(
            f"{version!r} is not a version name (YYYYmmddTHHMMSSffffffZ-<8 hex digits>)"
        )
    return version


def version_folder(root: Path, catalog: str, version: str) -> Path:
    """Where a version lives; both names are checked, the folder need not exist.

    Raises:
        ArtifactNameInvalid: a name could leave its folder.
    """
    return root / check_catalog(catalog) / check_version(version)


def list_catalogs(root: Path) -> list[str]:
    """Names of the catalogs that have a CURRENT version, sorted."""
    if not root.is_dir():
        return []
    return sorted(path.parent.name for path in root.glob(f"*/{CURRENT}") if _is_catalog(path))


def list_versions(root: Path, catalog: str) -> list[str]:
    """Complete versions of a catalog, newest last; half-written folders are not among them.

    Raises:
        ArtifactNameInvalid: the catalog name is not allowed.
    """
    folder = root / check_catalog(catalog)
    if not folder.is_dir():
        return []
    names = (path.parent.name for path in folder.glob(f"*/{MANIFEST}"))
    return sorted(name for name in names if _VERSION.fullmatch(name))


def current_version(root: Path, catalog: str) -> str | None:
    """The version CURRENT names, or None when the catalog was never published.

    Raises:
        ArtifactNameInvalid: the catalog's name, or what CURRENT holds, is not allowed.
        ArtifactNotFound: CURRENT names a version that does not exist.
    """
    pointer = root / check_catalog(catalog) / CURRENT
    try:
        version = pointer.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    if not _VERSION.fullmatch(version):
        raise ArtifactNameInvalid(
            f"{pointer} holds {version[:80]!r}, which is no version name; name one of"
            f" {_newest(root, catalog)} with `mutualrec rollback <version>`, or publish again"
        )
    require_version(root, catalog, version)
    return version


def set_current(root: Path, catalog: str, version: str) -> None:
    """Moves CURRENT to an existing version, atomically and durably; `promote` also asks who may.

    Raises:
        ArtifactNameInvalid: a name is not allowed.
        ArtifactNotFound: the version does not exist; CURRENT stays where it was.
    """
    require_version(root, catalog, version)
    write_small_file(root / catalog / CURRENT, version + "\n")


def write_small_file(path: Path, text: str) -> None:
    """Replaces a file, atomically and durably."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with draft.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def require_version(root: Path, catalog: str, version: str) -> Path:
    """The folder of a complete version.

    Raises:
        ArtifactNameInvalid: a name is not allowed.
        ArtifactNotFound: there is no such version; the message lists those there are.
    """
    folder = version_folder(root, catalog, version)
    if not (folder / MANIFEST).is_file():
        raise ArtifactNotFound(
            f"catalog {catalog!r} has no version {version!r} under {root}; the newest versions are:"
            f" {_newest(root, catalog)}. Publish again, or set CURRENT to one of them with"
            " `mutualrec rollback <version>`."
        )
    return folder


def _newest(root: Path, catalog: str) -> str:
    return ", ".join(list_versions(root, catalog)[-5:]) or "none"


def sync_folder(folder: Path) -> None:
    """Makes renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_catalog(pointer: Path) -> bool:
    return _CATALOG.fullmatch(pointer.parent.name) is not None

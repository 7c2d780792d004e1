"""The versions of a catalog, and what each says of itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from service.artifact_reader import read_manifest
from service.errors import ArtifactError, ArtifactNotFound
from service.manifest import ManifestModel
from service.publishing.pointer import pinned_version, served_versions
from service.versions import current_version, list_versions

State = Literal["current", "published", "refused", "held", "damaged"]


@dataclass(frozen=True)
class ListedVersion:
    """One version.

    Attributes:
        version: its name.
        state: ``current``; ``published``, it was current or may become so; ``refused`` by the gate
            and kept to be looked at, never current; ``held`` by a pin from becoming current, and
            never it since; ``damaged``, its manifest cannot be read.
        pinned: whether the catalog is pinned to it.
        manifest: what it says of itself, None if damaged.
    """

    version: str
    state: State
    pinned: bool
    manifest: ManifestModel | None


def describe_versions(root: Path, catalog: str) -> list[ListedVersion]:
    """All versions of a catalog, newest last.

    Raises:
        ArtifactNameInvalid: the catalog's name, or what CURRENT holds, is not allowed.
        ArtifactNotFound: it has none, or CURRENT names one that does not exist.
    """
    current, names = current_version(root, catalog), list_versions(root, catalog)
    if not names:
        raise ArtifactNotFound(
            f"catalog {catalog!r} was never published under {root}; "
            "publish one with `mutualrec publish`"
        )
    pinned, served = pinned_version(root, catalog), served_versions(root, catalog)
    return [_describe(root, catalog, name, current, pinned, name in served) for name in names]


def previous_version(root: Path, catalog: str) -> str:
    """Where a rollback goes: the newest older version that was current or not refused.

    Raises:
        ArtifactNameInvalid: the catalog's name is not allowed.
        ArtifactNotFound: nothing was published, or there is no such version.
    """
    current = current_version(root, catalog)
    if current is None:
        raise ArtifactNotFound(f"catalog {catalog!r} was never published under {root}")
    older = [
        listed.version
        for listed in describe_versions(root, catalog)
        if listed.version < current and listed.state == "published"
    ]
    if not older:
        raise ArtifactNotFound(
            f"catalog {catalog!r} has no version older than {current} that was in service;"
            " there is nothing to go back to"
        )
    return older[-1]


def _describe(
    root: Path, catalog: str, name: str, current: str | None, pinned: str | None, served: bool
) -> ListedVersion:
    try:
        manifest = read_manifest(root, catalog, name)
    except ArtifactError:
        return ListedVersion(name, "damaged", name == pinned, None)
    state: State = "published"
    if name == current:
        state = "current"
    elif served:
        pass  # somebody promoted it in spite of the gate
    elif manifest.gate is not None and manifest.gate.refused:
        state = "refused"
    elif manifest.gate is not None and manifest.gate.pinned_to is not None:
        state = "held"
    return ListedVersion(name, state, name == pinned, manifest)

"""Lifting the marks of erased users whom no version that is left learned from."""

import asyncio
from pathlib import Path

from service.erasure.marks import MarkStore
from service.manifest import ManifestModel
from service.publishing.listing import describe_versions


async def lift_marks(marks: MarkStore, root: Path, catalog: str) -> int:
    """Lifts the marks that are older than what every version was trained on; returns how many.

    A version that a rollback could go to, or an experiment serve, keeps them; so does one whose
    manifest cannot be read.

    Args:
        marks: where the marks are.
        root: all catalogs' artifacts.
        catalog: a catalog name.

    Raises:
        ArtifactNotFound: the catalog has no version.
        StoreUnavailable: there was no reply in time.
    """
    listed = await asyncio.to_thread(describe_versions, root, catalog)
    manifests: list[ManifestModel] = []
    for one in listed:
        if one.manifest is None:
            return 0
        manifests.append(one.manifest)
    return await marks.lift(catalog, manifests)

"""Which published versions know an id."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.artifact import list_versions, version_folder
from service.artifact_writer import IDS
from service.errors import ArtifactCorrupt


def versions_knowing(root: Path, catalog: str, kind: str, identifier: str) -> list[str]:
    """The versions of a catalog that hold a user or an item.

    Args:
        root: all catalogs' artifacts.
        catalog: a catalog name.
        kind: ``user`` or ``item``.
        identifier: the id.

    Raises:
        ArtifactCorrupt: the ids of a version cannot be read.
    """
    return [
        version
        for version in list_versions(root, catalog)
        if _knows(version_folder(root, catalog, version) / IDS, kind, identifier)
    ]


def _knows(path: Path, kind: str, identifier: str) -> bool:
    try:
        ids = pq.read_table(path, columns=["kind", "id"])
    except (pa.ArrowException, OSError) as error:
        raise ArtifactCorrupt(f"{path} cannot be read: {error}; publish again") from error
    found = pc.and_(pc.equal(ids["kind"], kind), pc.equal(ids["id"], identifier))
    return bool(pc.any(found).as_py())

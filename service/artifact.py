"""The artifact: everything the service needs from one training, in one folder per version.

``<root>/<catalog>/<version>/`` is never changed after publishing and holds ``manifest.json``,
``embeddings.safetensors`` (users, items, ``covariance.<block>``, ``factors.<block>``),
``ids.parquet`` (users then items, with popularity and metadata), ``seen.safetensors`` (CSR of the
items each user is known to have), ``popularity.safetensors`` (interactions per item and day),
``content.safetensors`` (the modalities' vectors) and any extra file the manifest lists.
``<root>/<catalog>/CURRENT`` names the version being served. No pickle anywhere.

This module is the contract between training and service; import from here only.
"""

from service.artifact_content import DailyCounts
from service.artifact_reader import Artifact, load_artifact, read_manifest
from service.artifact_tensors import ArtifactDraft, check_contents
from service.artifact_writer import write_artifact
from service.manifest import (
    FORMAT_VERSION,
    Block,
    BlockKind,
    DatasetRef,
    FileEntry,
    ManifestModel,
    Member,
    TensorEntry,
)
from service.versions import (
    check_catalog,
    check_version,
    current_version,
    list_catalogs,
    list_versions,
    previous_version,
    set_current,
    version_folder,
)

__all__ = [
    "FORMAT_VERSION",
    "Artifact",
    "ArtifactDraft",
    "Block",
    "BlockKind",
    "DailyCounts",
    "DatasetRef",
    "FileEntry",
    "ManifestModel",
    "Member",
    "TensorEntry",
    "check_catalog",
    "check_contents",
    "check_version",
    "current_version",
    "list_catalogs",
    "list_versions",
    "load_artifact",
    "previous_version",
    "read_manifest",
    "set_current",
    "version_folder",
    "write_artifact",
]

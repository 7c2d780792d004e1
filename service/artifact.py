"""The artifact: everything the service needs from one training, in one folder per version.

``<root>/<catalog>/<version>/`` is never changed after publishing and holds ``manifest.json``,
``embeddings.safetensors`` (users, items, ``covariance.<block>``, ``factors.<block>``),
``ids.parquet`` (users then items, with popularity and metadata), ``seen.safetensors`` (CSR of the
items each user is known to have), ``popularity.safetensors`` (interactions per item and day),
``content.safetensors`` (the modalities' vectors), ``funds.safetensors`` with ``funds.json`` (the
positions of fund companies, in their catalogs only) and any extra file the manifest lists.
``<root>/<catalog>/CURRENT`` names the version being served, ``PINNED`` the one it must stay at if
any, ``SERVED`` those that were current before, ``FENCE`` the newest trainer's token. No pickle
anywhere.

This module is the contract between training and service; import from here only.
"""

from service.artifact_content import DailyCounts
from service.artifact_reader import Artifact, load_artifact, read_manifest
from service.artifact_tensors import ArtifactDraft, check_contents
from service.artifact_writer import write_artifact
from service.encoding.encoder import TextEncoder
from service.funds.facts import CHANGES, FundFacts, Role
from service.manifest import (
    FORMAT_VERSION,
    Block,
    BlockKind,
    BlockPart,
    DatasetRef,
    EncoderRef,
    FileEntry,
    ManifestModel,
    Member,
    TensorEntry,
    erasures_name,
)
from service.publishing.adoption import adopt_version, record_gate
from service.publishing.difference import Change, Difference, compare_versions
from service.publishing.gate_report import GateCheck, GateReport
from service.publishing.listing import ListedVersion, describe_versions, previous_version
from service.publishing.pointer import (
    Fence,
    enter,
    highest_fence,
    pin,
    pinned_version,
    promote,
    unpin,
)
from service.publishing.prune import PrunedVersions, prune_versions
from service.versions import (
    VERSIONS_CHANNEL,
    check_catalog,
    check_version,
    current_version,
    list_catalogs,
    list_versions,
    set_current,
    version_folder,
)

__all__ = [
    "CHANGES",
    "FORMAT_VERSION",
    "VERSIONS_CHANNEL",
    "Artifact",
    "ArtifactDraft",
    "Block",
    "BlockKind",
    "BlockPart",
    "Change",
    "DailyCounts",
    "DatasetRef",
    "Difference",
    "EncoderRef",
    "Fence",
    "FileEntry",
    "FundFacts",
    "GateCheck",
    "GateReport",
    "ListedVersion",
    "ManifestModel",
    "Member",
    "PrunedVersions",
    "Role",
    "TensorEntry",
    "TextEncoder",
    "adopt_version",
    "check_catalog",
    "check_contents",
    "check_version",
    "compare_versions",
    "current_version",
    "describe_versions",
    "enter",
    "erasures_name",
    "highest_fence",
    "list_catalogs",
    "list_versions",
    "load_artifact",
    "pin",
    "pinned_version",
    "previous_version",
    "promote",
    "prune_versions",
    "read_manifest",
    "record_gate",
    "set_current",
    "unpin",
    "version_folder",
    "write_artifact",
]

"""Reading an artifact version: everything is verified before anything is returned."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from service.artifact_content import DailyCounts
from service.artifact_tensors import check_contents
from service.artifact_writer import (
    CONTENT,
    EMBEDDINGS,
    FUND_NAMES,
    FUNDS,
    IDS,
    METADATA_PREFIX,
    POPULARITY,
    SEEN,
)
from service.errors import ArtifactCorrupt, ArtifactIncompatible
from service.funds.facts import FundFacts, facts_from
from service.manifest import FORMAT_VERSION, Block, ManifestModel, TensorEntry
from service.versions import MANIFEST, require_version

_DTYPES: dict[str, type[np.generic]] = {
    "F32": np.float32,
    "F64": np.float64,
    "I32": np.int32,
    "I64": np.int64,
}

# Any: one mapping holds tensors of several element types; check_contents checks each.
_Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Artifact:
    """One verified version. Arrays are read-only and mapped from disk, so workers share them.

    The attributes mean what they mean in `ArtifactDraft`. `item_metadata` has no columns beyond
    those the draft had, or is None.
    """

    folder: Path
    manifest: ManifestModel
    users: NDArray[np.float32]
    items: NDArray[np.float32]
    user_ids: Sequence[str]
    item_ids: Sequence[str]
    item_metadata: pa.Table | None
    popularity: NDArray[np.float64]
    seen_indptr: NDArray[np.int64]
    seen_indices: NDArray[np.int32]
    covariances: Mapping[str, NDArray[np.float32]]
    factors: Mapping[str, NDArray[np.float32]]
    daily: DailyCounts | None
    features: Mapping[str, NDArray[np.float32]]
    funds: FundFacts | None

    @property
    def blocks(self) -> Sequence[Block]:
        """The members' columns."""
        return self.manifest.blocks

    @property
    def version(self) -> str:
        """The version's name."""
        return self.manifest.version

    def seen(self, user_row: int) -> NDArray[np.int32]:
        """Item rows [n] int32 the user is known to have."""
        return self.seen_indices[self.seen_indptr[user_row] : self.seen_indptr[user_row + 1]]


def load_artifact(root: Path, catalog: str, version: str) -> Artifact:
    """Loads a version after verifying sizes, hashes, shapes, dtypes, values and ids.

    Raises:
        ArtifactNameInvalid: a name is not allowed.
        ArtifactNotFound: there is no such version.
        ArtifactCorrupt: a file or value is not what the manifest promises.
        ArtifactIncompatible: a newer program wrote it.
    """
    folder = require_version(root, catalog, version)
    manifest = _read_manifest(folder / MANIFEST)
    if (manifest.catalog, manifest.version) != (catalog, version):
        raise ArtifactCorrupt(
            f"{folder} claims to be {manifest.catalog}/{manifest.version};"
            " was it copied or renamed?"
        )
    _verify_files(folder, manifest)
    embeddings = _map_tensors(folder, EMBEDDINGS, manifest)
    seen = _map_tensors(folder, SEEN, manifest)
    popularity = _map_optional(folder, POPULARITY, manifest)
    content = _map_optional(folder, CONTENT, manifest)
    try:
        artifact = _assemble(folder, manifest, embeddings, seen, popularity, content)
    except (KeyError, TypeError, pa.ArrowInvalid) as error:
        raise ArtifactCorrupt(f"{folder} lacks {error}; publish it again") from error
    check_contents(artifact)
    return artifact


def read_manifest(root: Path, catalog: str, version: str) -> ManifestModel:
    """Reads what a version says of itself, without loading or verifying its files.

    Raises:
        ArtifactNameInvalid: a name is not allowed.
        ArtifactNotFound: there is no such version.
        ArtifactCorrupt: the manifest cannot be read.
        ArtifactIncompatible: a newer program wrote it.
    """
    return _read_manifest(require_version(root, catalog, version) / MANIFEST)


def _read_manifest(path: Path) -> ManifestModel:
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except ValueError as error:
        raise ArtifactCorrupt(f"{path} is not JSON: {error}; publish the version again") from error
    format_version = content.get("format_version") if isinstance(content, dict) else None
    if isinstance(format_version, int) and format_version > FORMAT_VERSION:
        raise ArtifactIncompatible(
            f"{path} has format_version {format_version}, this program reads up to"
            f" {FORMAT_VERSION}; upgrade the service before publishing with the newer trainer"
        )
    try:
        return ManifestModel.model_validate_json(text)
    except ValidationError as error:
        raise ArtifactCorrupt(f"{path} is not a valid manifest: {error}") from error


def _verify_files(folder: Path, manifest: ManifestModel) -> None:
    missing = {EMBEDDINGS, SEEN, IDS} - manifest.files.keys()
    if missing:
        raise ArtifactCorrupt(f"the manifest in {folder} does not list {sorted(missing)}")
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactCorrupt(f"{path} is missing; copy or publish the version again")
        size_bytes = path.stat().st_size
        if size_bytes != entry.size_bytes:
            raise ArtifactCorrupt(
                f"{path} has {size_bytes} bytes, the manifest says {entry.size_bytes};"
                " copy or publish the version again"
            )
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != entry.sha256:
            raise ArtifactCorrupt(
                f"{path} has SHA-256 {digest[:12]}..., the manifest says {entry.sha256[:12]}...;"
                " copy or publish the version again"
            )


def _map_tensors(folder: Path, file_name: str, manifest: ManifestModel) -> _Tensors:
    path = folder / file_name
    try:
        with safe_open(path, framework="numpy"):
            pass  # the library checks that the header is sound and covers the file
    except SafetensorError as error:
        raise ArtifactCorrupt(f"{path} is not a safetensors file: {error}") from error
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(header_bytes))
    tensors: _Tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape = _DTYPES.get(entry["dtype"]), tuple(entry["shape"])
        promised = manifest.tensors.get(f"{file_name}:{name}")
        if dtype is None or promised != TensorEntry(shape=shape, dtype=np.dtype(dtype).name):
            raise ArtifactCorrupt(
                f"{path} holds {name!r} as {entry['dtype']} {shape}, the manifest says {promised}"
            )
        offset = 8 + header_bytes + entry["data_offsets"][0]
        tensors[name] = _map_array(path, dtype, shape, offset)
    return tensors


def _map_optional(folder: Path, file_name: str, manifest: ManifestModel) -> _Tensors:
    return _map_tensors(folder, file_name, manifest) if file_name in manifest.files else {}


def _map_array(
    path: Path, dtype: type[np.generic], shape: tuple[int, ...], offset: int
) -> NDArray[Any]:
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.asarray(np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape))


def _assemble(
    folder: Path,
    manifest: ManifestModel,
    embeddings: _Tensors,
    seen: _Tensors,
    popularity: _Tensors,
    content: _Tensors,
) -> Artifact:
    # Neither may leave threads, which a process that is forked later would lack, nor memory that
    # Arrow's own allocator keeps for itself.
    with pq.ParquetFile(folder / IDS, pre_buffer=False) as file:
        table = file.read(use_threads=False)
    users = table.filter(pc.equal(table.column("kind"), "user"))
    items = table.filter(pc.equal(table.column("kind"), "item"))
    metadata_names = [name for name in table.column_names if name.startswith(METADATA_PREFIX)]
    metadata = items.select(metadata_names).rename_columns(
        [name.removeprefix(METADATA_PREFIX) for name in metadata_names]
    )
    return Artifact(
        folder=folder,
        manifest=manifest,
        users=embeddings["users"],
        items=embeddings["items"],
        user_ids=tuple(users.column("id").to_pylist()),
        item_ids=tuple(items.column("id").to_pylist()),
        item_metadata=metadata if metadata_names else None,
        popularity=items.column("popularity").to_numpy(),
        seen_indptr=seen["indptr"],
        seen_indices=seen["indices"],
        covariances=_named(embeddings, "covariance."),
        factors=_named(embeddings, "factors."),
        daily=DailyCounts(**popularity) if popularity else None,
        features=_named(content, "features."),
        funds=_funds(folder, manifest),
    )


def _funds(folder: Path, manifest: ManifestModel) -> FundFacts | None:
    if FUNDS not in manifest.files or FUND_NAMES not in manifest.files:
        return None
    arrays = _map_tensors(folder, FUNDS, manifest)
    return facts_from(arrays, (folder / FUND_NAMES).read_text(encoding="utf-8"))


def _named(tensors: _Tensors, prefix: str) -> dict[str, NDArray[np.float32]]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }

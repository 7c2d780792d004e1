"""Writing an artifact version: complete and durable, or not there at all."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.numpy import save_file

from service.artifact_tensors import ArtifactDraft, check_contents
from service.errors import ArtifactCorrupt, ArtifactNameInvalid
from service.funds.facts import arrays_of, names_json
from service.manifest import FileEntry, ManifestModel, TensorEntry, check_file_name
from service.versions import MANIFEST, check_catalog, sync_folder, version_folder

EMBEDDINGS = "embeddings.safetensors"
SEEN = "seen.safetensors"
POPULARITY = "popularity.safetensors"
CONTENT = "content.safetensors"
FUNDS = "funds.safetensors"
FUND_NAMES = "funds.json"
IDS = "ids.parquet"
METADATA_PREFIX = "metadata."
_RESERVED = frozenset({EMBEDDINGS, SEEN, POPULARITY, CONTENT, FUNDS, FUND_NAMES, IDS, MANIFEST})


def utc_now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


def write_artifact(
    root: Path,
    catalog: str,
    draft: ArtifactDraft,
    *,
    clock: Callable[[], datetime] = utc_now,
) -> str:
    """Writes a new version folder atomically; CURRENT does not move.

    Args:
        root: the folder of all catalogs.
        catalog: 1-64 letters, digits, '_' or '-'.
        draft: what to publish; checked before anything is written.
        clock: gives an aware time; `created_at` and the version name come from it.

    Returns:
        The version, ``YYYYmmddTHHMMSSffffffZ-<8 hex digits of the content's hash>``.

    Raises:
        ArtifactCorrupt: the draft contradicts itself; nothing was written.
        ArtifactNameInvalid: the catalog or an extra file has a name that is not allowed.
    """
    check_catalog(catalog)
    check_contents(draft)
    _check_extra_names(draft)
    parent = root / catalog
    parent.mkdir(parents=True, exist_ok=True)
    workplace = parent / f".writing-{secrets.token_hex(8)}"
    workplace.mkdir()
    try:
        tensors = _write_files(workplace, draft)
        files = {
            path.relative_to(workplace).as_posix(): _sync_and_hash(path)
            for path in sorted(workplace.rglob("*"))
            if path.is_file()
        }
        manifest = _manifest(catalog, draft, files, tensors, clock().astimezone(UTC))
        target = version_folder(root, catalog, manifest.version)
        path = workplace / MANIFEST
        path.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        _sync_and_hash(path)
        for folder in (*(p for p in workplace.rglob("*") if p.is_dir()), workplace):
            sync_folder(folder)
        workplace.rename(target)
        sync_folder(parent)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return manifest.version


def _check_extra_names(draft: ArtifactDraft) -> None:
    for name in draft.extra_files:
        try:
            check_file_name(name)
        except ValueError as error:
            raise ArtifactNameInvalid(str(error)) from error
        if name in _RESERVED:
            raise ArtifactNameInvalid(f"extra file {name!r} has the name of an artifact's own file")


def _write_files(folder: Path, draft: ArtifactDraft) -> dict[str, TensorEntry]:
    embeddings: dict[str, NDArray[np.generic]] = {
        "users": draft.users,
        "items": draft.items,
        **{f"covariance.{name}": value for name, value in draft.covariances.items()},
        **{f"factors.{name}": value for name, value in draft.factors.items()},
    }
    seen: dict[str, NDArray[np.generic]] = {
        "indptr": draft.seen_indptr,
        "indices": draft.seen_indices,
    }
    content: dict[str, NDArray[np.generic]] = {
        f"features.{name}": value for name, value in draft.features.items()
    }
    popularity: dict[str, NDArray[np.generic]] = {}
    if draft.daily is not None:
        daily = draft.daily
        popularity = {
            "days": daily.days,
            "item_rows": daily.item_rows,
            "counts": daily.counts,
        }
    funds: dict[str, NDArray[np.generic]] = {}
    if draft.funds is not None:
        funds = arrays_of(draft.funds)
        (folder / FUND_NAMES).write_text(names_json(draft.funds), encoding="utf-8")
    entries: dict[str, TensorEntry] = {}
    named = {
        EMBEDDINGS: embeddings,
        SEEN: seen,
        POPULARITY: popularity,
        CONTENT: content,
        FUNDS: funds,
    }
    for file_name, tensors in named.items():
        if not tensors:
            continue
        save_file(
            {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()},
            folder / file_name,
        )
        for name, tensor in tensors.items():
            entries[f"{file_name}:{name}"] = TensorEntry(
                shape=tensor.shape, dtype=tensor.dtype.name
            )
    pq.write_table(_ids_table(draft), folder / IDS, compression="zstd")
    for name, source in draft.extra_files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return entries


def _ids_table(draft: ArtifactDraft) -> pa.Table:
    num_users, num_items = len(draft.user_ids), len(draft.item_ids)
    items = {
        "kind": pa.array(["item"] * num_items, pa.string()),
        "id": pa.array(draft.item_ids, pa.string()),
        "popularity": pa.array(draft.popularity, pa.float64()),
    }
    metadata = draft.item_metadata
    if metadata is not None:
        if metadata.num_rows != num_items:
            raise ArtifactCorrupt(
                f"item_metadata has {metadata.num_rows} rows but there are {num_items} items"
            )
        for name in metadata.column_names:
            items[METADATA_PREFIX + name] = metadata.column(name)
    users = {
        "kind": pa.array(["user"] * num_users, pa.string()),
        "id": pa.array(draft.user_ids, pa.string()),
    }
    return pa.concat_tables([pa.table(users), pa.table(items)], promote_options="default")


def _sync_and_hash(path: Path) -> FileEntry:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(sha256=digest, size_bytes=path.stat().st_size)


def _manifest(
    catalog: str,
    draft: ArtifactDraft,
    files: dict[str, FileEntry],
    tensors: dict[str, TensorEntry],
    now: datetime,
) -> ManifestModel:
    content = "".join(files[name].sha256 for name in sorted(files))
    digest = hashlib.sha256(content.encode()).hexdigest()
    return ManifestModel(
        catalog=catalog,
        version=f"{now:%Y%m%dT%H%M%S%f}Z-{digest[:8]}",
        created_at=now,
        dataset=draft.dataset,
        watermark=dict(draft.watermark),
        split=draft.split,
        members=tuple(draft.members),
        blocks=tuple(draft.blocks),
        metrics={split: dict(values) for split, values in draft.metrics.items()},
        ensemble=draft.ensemble,
        commit=draft.commit,
        recipe=dict(draft.recipe),
        category_fields=tuple(draft.category_fields),
        encoders=dict(draft.encoders),
        files=files,
        tensors=tensors,
    )

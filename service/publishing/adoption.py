"""From a candidate that was judged beside the catalogs to a version of a catalog."""

import secrets
import shutil
from pathlib import Path

from service.artifact_reader import read_manifest
from service.publishing.gate_report import GateReport
from service.versions import (
    MANIFEST,
    require_version,
    sync_folder,
    version_folder,
    write_small_file,
)


def record_gate(root: Path, catalog: str, version: str, report: GateReport) -> None:
    """Writes a judgement into a candidate's manifest; nothing else of a version ever changes.

    Raises:
        ArtifactNotFound: there is no such version.
        ArtifactCorrupt: its manifest cannot be read.
    """
    manifest = read_manifest(root, catalog, version).model_copy(update={"gate": report})
    path = require_version(root, catalog, version) / MANIFEST
    write_small_file(path, manifest.model_dump_json(indent=2) + "\n")


def adopt_version(source_root: Path, root: Path, catalog: str, version: str) -> None:
    """Copies a version from another root, complete or not at all; CURRENT does not move.

    Adopting it again changes nothing, so a trainer that died afterwards can.

    Raises:
        ArtifactNotFound: there is no such version in the other root.
    """
    source = require_version(source_root, catalog, version)
    target = version_folder(root, catalog, version)
    if (target / MANIFEST).is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    workplace = target.parent / f".writing-{secrets.token_hex(8)}"
    try:
        shutil.copytree(source, workplace)
        for path in workplace.rglob("*"):
            sync_folder(path)
        sync_folder(workplace)
        workplace.rename(target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)

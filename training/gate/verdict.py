"""What becomes of a judged candidate: current, or kept beside the current version."""

import logging
from pathlib import Path

from service.artifact import (
    Fence,
    GateReport,
    ManifestModel,
    adopt_version,
    list_versions,
    promote,
    read_manifest,
    record_gate,
)
from service.errors import ArtifactError

logger = logging.getLogger(__name__)


def refused_beside(root: Path, catalog: str, champion: str) -> list[ManifestModel]:
    """Return the candidates that were refused beside a champion and are kept, oldest first."""
    found = []
    for version in list_versions(root, catalog):
        try:
            manifest = read_manifest(root, catalog, version)
        except ArtifactError:
            continue  # a damaged version can be anything; `mutualrec versions` shows it
        gate = manifest.gate
        if gate is not None and gate.refused and gate.champion == champion:
            found.append(manifest)
    return found


def judged_candidate(root: Path, catalog: str) -> ManifestModel | None:
    """Return the candidate of an interrupted retraining that was judged already."""
    for version in list_versions(root, catalog):
        manifest = read_manifest(root, catalog, version)
        if manifest.gate is not None:
            return manifest
    return None


def settle(
    root: Path,
    catalog: str,
    version: str,
    report: GateReport,
    *,
    candidates: Path,
    force: bool,
    fence: Fence | None,
) -> GateReport:
    """Write the judgement into the candidate, keep it, and make it current unless it is refused.

    Every step can be repeated after a kill.

    Args:
        root: Folder of all catalogs' versions.
        catalog: The catalog.
        version: The candidate.
        report: Its judgement.
        candidates: Where the candidate lies; `root` when it has been kept before.
        force: Publish it though a check has failed; the manifest says so.
        fence: The right of the trainer.

    Returns:
        The judgement as it was written.

    Raises:
        CurrentMoved: Another version than the champion became current meanwhile.
        VersionPinned: The catalog is pinned; the candidate is kept.
        TrainerFenced: A newer trainer has begun.
    """
    report = report.model_copy(update={"forced": force and not report.passed})
    if candidates != root:
        record_gate(candidates, catalog, version, report)
        adopt_version(candidates, root, catalog, version)
    if read_manifest(root, catalog, version).gate != report:
        record_gate(root, catalog, version, report)
    if report.refused:
        logger.warning(
            "refused catalog=%s version=%s: %s", catalog, version, "; ".join(report.reasons)
        )
        return report
    promote(root, catalog, version, expected=report.champion, fence=fence)
    logger.info("published catalog=%s version=%s forced=%s", catalog, version, report.forced)
    return report

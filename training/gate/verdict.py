"""What becomes of a judged candidate: current, or kept beside the current version."""

import logging
from pathlib import Path

from service.artifact import (
    Fence,
    GateReport,
    ManifestModel,
    adopt_version,
    list_versions,
    pinned_version,
    promote,
    read_manifest,
    record_gate,
)
from service.errors import ArtifactError, VersionPinned

logger = logging.getLogger(__name__)


def kept_beside(root: Path, catalog: str, champion: str) -> list[tuple[ManifestModel, GateReport]]:
    """Return the candidates that are kept beside a champion, refused or held, oldest first."""
    found = []
    for version in list_versions(root, catalog):
        try:
            manifest = read_manifest(root, catalog, version)
        except ArtifactError:
            continue  # a damaged version can be anything; `mutualrec versions` shows it
        gate = manifest.gate
        if gate is None or gate.champion != champion:
            continue
        if gate.refused or gate.pinned_to is not None:
            found.append((manifest, gate))
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

    Under a pin it is kept only, as one that is held. Every step can be repeated after a kill.

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
        TrainerFenced: A newer trainer has begun.
    """
    is_forced = (force or report.forced) and not report.passed
    report = report.model_copy(update={"forced": is_forced, "pinned_to": None})
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
    try:
        promote(root, catalog, version, expected=report.champion, fence=fence)
    except VersionPinned:
        pinned_to = pinned_version(root, catalog) or report.champion
        report = report.model_copy(update={"pinned_to": pinned_to})
        record_gate(root, catalog, version, report)
        logger.warning("held catalog=%s version=%s pinned_to=%s", catalog, version, pinned_to)
        return report
    logger.info("published catalog=%s version=%s forced=%s", catalog, version, report.forced)
    return report

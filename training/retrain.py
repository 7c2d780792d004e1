"""One retraining: drain the events, merge them, train the members again, judge, publish."""

import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from redis import Redis

from service.artifact import (
    Fence,
    GateReport,
    ManifestModel,
    current_version,
    enter,
    pinned_version,
    read_manifest,
)
from service.errors import ArtifactNotFound
from training.data.dataset import folder_fingerprint
from training.data.item_states import ItemState, drain_items, of_items, with_states
from training.data.tables import read_table
from training.errors import RetrainingBusy
from training.event_log import drain, read_events
from training.gate.serving import Serve
from training.gate.verdict import kept_beside, settle
from training.job import Job, Policy, Progress, Step, make_candidate
from training.recipe import LearnedFrom, Recipe
from training.warm_start import find_runs

logger = logging.getLogger(__name__)

USUAL = Policy()


@dataclass(frozen=True)
class Outcome:
    """What a retraining did.

    Attributes:
        version: The version that became current; None if none did.
        num_events: Distinct events in the log, 0 when there was nothing new to learn from.
        refused: The candidate that the gate refused; it is kept, and is not current.
        reasons: Why checks of the gate failed; of a candidate that was not refused, it was forced.
        repeated: The candidate was made before, of the same data; nothing was done.
        held: The candidate that would be current now, were the catalog not pinned; it is kept.
        pinned_to: What the catalog is pinned to, where that held the candidate.
    """

    version: str | None
    num_events: int
    refused: str | None = None
    reasons: tuple[str, ...] = ()
    repeated: bool = False
    held: str | None = None
    pinned_to: str | None = None


def retrain(
    catalog: str,
    client: Redis,
    *,
    artifacts: Path,
    events: Path,
    workspace: Path,
    cache: Path,
    progress: Progress,
    serve: Serve,
    policy: Policy = USUAL,
    fence: Fence | None = None,
    announce: Callable[[Step], None] = lambda _: None,
) -> Outcome:
    """Learn from every event received so far, and publish what came out unless it is worse.

    One process at a time per workspace. Every step can be repeated: draining acknowledges only
    what is on disk; the merged data, the runs and the candidate lie in a folder named after what
    they learn from, so a killed retraining continues where it stopped; publishing happens last.

    There is something new when the event log has grown since the current version, when other data
    was imported into the base dataset's folder, or when vectors or metadata were given to an item
    that is learned from. A candidate that was refused beside the same version for the same data is
    not made again. Neither is one that is held by a pin; it becomes current when the pin has gone.

    Args:
        catalog: Catalog to retrain.
        client: Redis holding the catalog's streams.
        artifacts: Folder of all catalogs' versions.
        events: Folder of all catalogs' event logs.
        workspace: Folder for the merged data and the runs.
        cache: Folder of computed neighbours.
        progress: Opens a progress display for (name, epochs, metric).
        serve: What the service makes of a version.
        policy: How to retrain.
        fence: The lease held; it shuts out trainers with older ones from now on.
        announce: Told what is done next.

    Raises:
        ArtifactNotFound: Nothing was published in the catalog yet.
        RetrainingBusy: Another process is retraining the catalog.
        DataError: The recipe or the data of the current version cannot be used.
        TrainingDiverged: A member's loss is not finite; the current version stays.
        TrainerFenced: The lease was lost to another trainer; the current version stays.
        CurrentMoved: Another version became current meanwhile, and stays.
    """
    if fence is not None:
        enter(artifacts, catalog, fence.token)
    version = current_version(artifacts, catalog)
    if version is None:
        raise ArtifactNotFound(
            f"catalog {catalog} has no version to retrain; publish one with `mutualrec publish`"
        )
    with _alone(workspace, catalog):
        champion = read_manifest(artifacts, catalog, version)
        recipe = Recipe.of(champion)
        announce(Step(1, 5 + len(recipe.members), "drain the events"))
        watermark = drain(client, catalog, events / catalog).watermark
        said = drain_items(client, catalog, events / catalog)
        states = _learnable(recipe, events / catalog, said)
        base = with_states(folder_fingerprint(recipe.dataset_folder), states)
        source = LearnedFrom(dict(watermark), base)
        if source == LearnedFrom.of(champion):
            return Outcome(None, 0)
        job = Job(
            *(catalog, artifacts, workspace, cache, champion, recipe, source),
            *(policy, serve, progress, announce),
        )
        return _settled(job, read_events(events / catalog), states, fence)


@contextmanager
def _alone(workspace: Path, catalog: str) -> Iterator[None]:
    """Hold the lock of a catalog's retraining; the kernel drops it when its holder dies."""
    workspace.mkdir(parents=True, exist_ok=True)
    path = workspace / "retrain.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = path.read_text().strip() or "of unknown number"
            raise RetrainingBusy(
                f"catalog {catalog} is being retrained by process {holder} ({path}); "
                "wait until it has finished, or stop it"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _learnable(recipe: Recipe, events: Path, states: Sequence[ItemState]) -> Sequence[ItemState]:
    """What was said of items that someone had to do with, or that the base data has."""
    if not states:
        return states
    known = read_table(recipe.dataset_folder / "items.parquet")["item_id"].to_list()
    return of_items(states, [*known, *read_events(events)["item_id"].to_pylist()])


def _settled(job: Job, log: pa.Table, states: Sequence[ItemState], fence: Fence | None) -> Outcome:
    """Make a candidate unless the same one is kept already, and settle what becomes of it."""
    kept = kept_beside(job.artifacts, job.catalog, job.champion.version)
    known = next((one for one in kept if LearnedFrom.of(one[0]) == job.source), None)
    if known is not None and _stays(job, *known):
        manifest, report = known
        return replace(_outcome(manifest.version, 0, report), repeated=True)
    if known is not None:
        candidate, root = known[0], job.artifacts
    else:
        warm = not any(report.refused for _, report in kept)
        candidate = make_candidate(job, log, states, warm=warm)
        root = job.folder / "candidate"
    assert candidate.gate is not None, "only judged candidates come here"
    job.step(0, "publish")
    report = settle(
        *(job.artifacts, job.catalog, candidate.version, candidate.gate),
        candidates=root,
        force=job.policy.force,
        fence=fence,
    )
    _tidy(job, report)
    return _outcome(candidate.version, log.num_rows, report)


def _stays(job: Job, candidate: ManifestModel, report: GateReport) -> bool:
    """Whether a candidate that is kept remains what it is."""
    if report.refused:
        return not job.policy.force
    return pinned_version(job.artifacts, job.catalog) not in (None, candidate.version)


def _outcome(version: str, num_events: int, report: GateReport) -> Outcome:
    if report.refused:
        return Outcome(None, num_events, version, report.reasons)
    if report.pinned_to is not None:
        pinned_to = report.pinned_to
        return Outcome(None, num_events, None, report.reasons, held=version, pinned_to=pinned_to)
    return Outcome(version, num_events, None, report.reasons)


def _tidy(job: Job, report: GateReport) -> None:
    """Keep the runs of the current version, and of one that will be: trainings begin with them."""
    keep = set[Path | None]()
    if not report.refused:
        keep.add(job.folder)
    if report.refused or report.pinned_to is not None:
        keep.add(find_runs(job.workspace, job.champion.version))
    for path in job.workspace.iterdir():
        if path not in keep and path.is_dir():
            shutil.rmtree(path)
            logger.info("removed the retraining folder %s", path.name)

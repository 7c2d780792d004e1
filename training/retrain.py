"""One retraining: drain the events, merge them, train the same members again, publish."""

import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pyarrow as pa
from redis import Redis

from service.artifact import Fence, ManifestModel, current_version, enter, read_manifest
from service.errors import ArtifactNotFound
from training.config import RunConfig, parse_run_config
from training.data.dataset import Dataset, folder_fingerprint, read_dataset
from training.data.item_states import ItemState, drain_items, of_items, with_states
from training.data.merge import merge_events
from training.data.tables import read_table
from training.ensemble import Method
from training.ensemble_folder import ChosenEnsemble, build_ensemble
from training.errors import DataError, RetrainingBusy
from training.event_log import drain, read_events
from training.publish import publish
from training.run_folder import RunFolder
from training.runs import train_run
from training.trainer import EpochReport

logger = logging.getLogger(__name__)

SPLIT = "leave_last_out_validation"
"""Every user's newest interaction validates; nothing is held back from publishing's `seen`."""

Progress = Callable[[str, int, str], AbstractContextManager[Callable[[EpochReport], None]]]


@dataclass(frozen=True)
class Outcome:
    """What a retraining did. `version` is None when there was nothing new to learn from.

    `num_events` counts the distinct events in the log.
    """

    version: str | None
    num_events: int


@dataclass(frozen=True)
class Recipe:
    """How the current version was made, read from its manifest."""

    dataset_folder: Path
    method: Method
    members: tuple[RunConfig, ...]

    @classmethod
    def of(cls, manifest: ManifestModel) -> "Recipe":
        """Read the recipe of a manifest.

        Raises:
            DataError: The version was published without one, or its data is gone.
        """
        recipe = manifest.recipe
        if not {"dataset_folder", "method", "members"} <= set(recipe):
            raise DataError(
                f"version {manifest.version} has no recipe to train again; "
                "publish one with `mutualrec publish`"
            )
        folder = Path(str(recipe["dataset_folder"]))
        if not (folder / "dataset.toml").exists():
            raise DataError(
                f"the base data of version {manifest.version} is gone: {folder}; "
                "import it there again, or publish from another dataset folder"
            )
        members = cast(list[object], recipe["members"])
        return cls(
            folder,
            cast(Method, recipe["method"]),
            tuple(parse_run_config(member) for member in members),
        )


def retrain(
    catalog: str,
    client: Redis,
    *,
    artifacts: Path,
    events: Path,
    workspace: Path,
    cache: Path,
    progress: Progress,
    fence: Fence | None = None,
) -> Outcome:
    """Publish a version that has learned from every event received so far.

    One process at a time per workspace. Every step can be repeated: draining acknowledges only
    what is on disk, the merged data and the runs lie in a folder named after what they learn
    from, so a killed retraining continues where it stopped, and publishing happens last.

    Args:
        catalog: Catalog to retrain.
        client: Redis holding the catalog's streams.
        artifacts: Folder of all catalogs' versions.
        events: Folder of all catalogs' event logs.
        workspace: Folder for the merged data and the runs.
        cache: Folder of computed neighbours.
        progress: Opens a progress display for (name, epochs, metric).
        fence: The lease held; it shuts out trainers with older ones from now on.

    There is something new when the event log has grown since the current version, when other data
    was imported into the base dataset's folder, or when vectors or metadata were given to an item
    that is learned from.

    Raises:
        ArtifactNotFound: Nothing was published in the catalog yet.
        RetrainingBusy: Another process is retraining the catalog.
        DataError: The recipe or the data of the current version cannot be used.
        TrainingDiverged: A member's loss is not finite; the current version stays.
        TrainerFenced: The lease was lost to another trainer; the current version stays.
    """
    if fence is not None:
        enter(artifacts, catalog, fence.token)
    version = current_version(artifacts, catalog)
    if version is None:
        raise ArtifactNotFound(
            f"catalog {catalog} has no version to retrain; publish one with `mutualrec publish`"
        )
    with _alone(workspace, catalog):
        manifest = read_manifest(artifacts, catalog, version)
        recipe = Recipe.of(manifest)
        watermark = drain(client, catalog, events / catalog).watermark
        said = drain_items(client, catalog, events / catalog)
        states = _learnable(recipe, events / catalog, said)
        base = with_states(folder_fingerprint(recipe.dataset_folder), states)
        if dict(watermark) == dict(manifest.watermark) and base == _base_of(manifest):
            return Outcome(None, 0)
        log = read_events(events / catalog)
        folder = workspace / _key(manifest.recipe, watermark, base)
        dataset, chosen = _learn(recipe, log, states, folder, cache, progress)
        new_version = publish(
            dataset,
            chosen,
            artifacts,
            catalog,
            dataset_folder=recipe.dataset_folder,
            watermark=watermark,
            base_fingerprint=base,
            fence=fence,
        )
        _remove_others(workspace, folder)
    return Outcome(new_version, log.num_rows)


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


def _learn(
    recipe: Recipe,
    log: pa.Table,
    states: Sequence[ItemState],
    folder: Path,
    cache: Path,
    progress: Progress,
) -> tuple[Dataset, ChosenEnsemble]:
    data = folder / "dataset"
    if not (data / "dataset.toml").exists():
        merged = merge_events(recipe.dataset_folder, log, data, states=states)
        if merged.rejected:
            reasons = merged.rejects["reason"].value_counts(sort=True).rows()
            logger.warning("%d logged events cannot be learned from: %s", merged.rejected, reasons)
    dataset = read_dataset(data)
    runs = [
        _train(dataset, member, folder / f"{number}-{member.model}", cache, progress)
        for number, member in enumerate(recipe.members)
    ]
    return dataset, build_ensemble(dataset, runs, folder / "ensemble", method=recipe.method)


def _train(
    dataset: Dataset, member: RunConfig, path: Path, cache: Path, progress: Progress
) -> RunFolder:
    config = replace(member, split=SPLIT, split_seed=0)
    folder = RunFolder(path)
    with progress(path.name, config.training.max_epochs, config.training.metric) as report:
        train_run(dataset, config, folder, cache=cache, report=report)
    return folder


def _base_of(manifest: ManifestModel) -> str:
    """The fingerprint of the base data that a version was learned from.

    Versions of before it was recorded count as learned from other data, unless they were
    published by hand, from the base data itself.
    """
    return str(manifest.recipe.get("base_fingerprint", manifest.dataset.fingerprint))


def _key(recipe: Mapping[str, object], watermark: Mapping[str, str], base: str) -> str:
    content = json.dumps([recipe, dict(watermark), base], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _remove_others(workspace: Path, keep: Path) -> None:
    for path in workspace.iterdir():
        if path != keep and path.is_dir():
            shutil.rmtree(path)
            logger.info("removed the retraining folder %s", path.name)

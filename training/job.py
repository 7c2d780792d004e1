"""The candidate of a retraining, from the event log to a judged version beside the catalogs."""

import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from service.artifact import Artifact, ManifestModel, load_artifact, read_manifest, record_gate
from training.candidate import write_as_published, write_as_trained
from training.config import RunConfig
from training.data.dataset import Dataset, read_dataset
from training.data.forgetting import ErasedAt, erasures_of
from training.data.item_states import ItemState
from training.data.merge import merge_events
from training.data.splits import RETRAINING, make_split
from training.ensemble_folder import ChosenEnsemble, build_ensemble
from training.gate.holdout import hold_out, training_part
from training.gate.judge import judge
from training.gate.limits import Limits
from training.gate.serving import Serve
from training.gate.verdict import judged_candidate
from training.publish import Base, draft_version
from training.recipe import LearnedFrom, Recipe
from training.run_folder import RunFolder
from training.runs import train_run
from training.trainer import EpochReport
from training.validating import kept_validation, labelled, newest_of_users, write_validation
from training.warm_start import WarmStart, find_runs, record_runs, warm_runs_after, warm_start

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, str], AbstractContextManager[Callable[[EpochReport], None]]]


@dataclass(frozen=True)
class Step:
    """What a retraining does next; `last_s` is how many seconds that took last time, if known."""

    number: int
    total: int
    what: str
    last_s: float | None = None


@dataclass(frozen=True)
class Policy:
    """How to retrain.

    Attributes:
        limits: From where on the gate refuses.
        full_every: Every how many trainings one begins anew; 1 is always. The others begin with
            the parameters that the current version was made of.
        force: Publish a candidate that the gate refuses; the manifest says so.
    """

    limits: Limits = field(default_factory=Limits)
    full_every: int = 10
    force: bool = False


@dataclass(frozen=True)
class Job:
    """What is retrained from what, and where."""

    catalog: str
    artifacts: Path
    workspace: Path
    cache: Path
    champion: ManifestModel
    recipe: Recipe
    source: LearnedFrom
    policy: Policy
    serve: Serve
    progress: Progress
    announce: Callable[[Step], None]

    @property
    def folder(self) -> Path:
        """Folder of the merged data, the runs and the candidate."""
        limits = self.policy.limits
        size = f"{limits.holdout_share} {limits.holdout_pairs} {self.policy.full_every}"
        return self.workspace / self.source.key(self.champion, size)

    @property
    def num_steps(self) -> int:
        """How many steps it takes, draining and publishing included."""
        return 5 + len(self.recipe.members)

    def step(self, number: int, what: str, last_s: float | None = None) -> None:
        """Say what is done next; numbers below 1 count from the end."""
        number = number if number > 0 else self.num_steps + number
        self.announce(Step(number, self.num_steps, what, last_s))


def make_candidate(
    job: Job, log: pa.Table, states: Sequence[ItemState], *, warm: bool
) -> ManifestModel:
    """Train, judge and write a candidate, or return the one that a killed retraining left."""
    root = job.folder / "candidate"
    found = judged_candidate(root, job.catalog)
    if found is not None:
        return found
    job.step(2, "merge the events")
    dataset = _merged(job, log, states)
    champion = load_artifact(job.artifacts, job.catalog, job.champion.version)
    holdout = hold_out(dataset, champion, job.policy.limits)
    earlier = find_runs(job.workspace, champion.version)
    warm_runs = warm_runs_after(earlier, dataset, job.policy.full_every) if warm else 0
    learnable = training_part(holdout)
    if warm_runs and earlier is not None:
        validation = kept_validation(learnable, earlier, champion)
    else:
        validation = newest_of_users(learnable)
    learnable = labelled(learnable, validation)
    erased = erasures_of(log)
    chosen = _learn(job, learnable, champion, earlier, erased, warm=warm_runs > 0)
    job.step(-1, "judge the candidate")
    folder = job.recipe.dataset_folder
    base = Base(folder, job.source.base_fingerprint, merged=job.folder / "dataset")
    draft = draft_version(dataset, chosen, base, job.source.watermark)
    # What a killed retraining may have left half done is made again.
    for leftover in (root, job.folder / "judged"):
        shutil.rmtree(leftover, ignore_errors=True)
    trained = make_split(learnable, RETRAINING, 0).train
    as_trained = write_as_trained(draft, holdout, trained, job.folder / "judged", job.catalog)
    report = judge(champion, as_trained, holdout, job.serve, job.policy.limits, warm=warm_runs > 0)
    version = write_as_published(draft, as_trained, holdout, job.serve, root)
    write_validation(job.folder, validation)
    record_runs(job.folder, version, warm_runs, learnable)
    record_gate(root, job.catalog, version, report)
    return read_manifest(root, job.catalog, version)


def _merged(job: Job, log: pa.Table, states: Sequence[ItemState]) -> Dataset:
    data = job.folder / "dataset"
    if not (data / "dataset.toml").exists():
        merged = merge_events(job.recipe.dataset_folder, log, data, states=states)
        if merged.rejected:
            reasons = merged.rejects["reason"].value_counts(sort=True).rows()
            logger.warning("%d logged events cannot be learned from: %s", merged.rejected, reasons)
    return read_dataset(data)


def _learn(
    job: Job,
    dataset: Dataset,
    champion: Artifact,
    earlier: Path | None,
    erased: tuple[ErasedAt, ErasedAt],
    *,
    warm: bool,
) -> ChosenEnsemble:
    runs = []
    for number, member in enumerate(job.recipe.members):
        name = f"{number}-{member.model}"
        before = None if earlier is None else RunFolder(earlier / name)
        known = before is not None and before.finished
        start = None
        if warm and before is not None and known:
            start = warm_start(before, champion, erased)
        last_s = before.result().seconds if before is not None and known else None
        job.step(3 + number, f"train {name}" + (", warm" if start else ""), last_s)
        runs.append(_train(job, dataset, member, job.folder / name, start))
    job.step(-2, "combine the members")
    return build_ensemble(dataset, runs, job.folder / "ensemble", method=job.recipe.method)


def _train(
    job: Job, dataset: Dataset, member: RunConfig, path: Path, warm: WarmStart | None
) -> RunFolder:
    config = replace(member, split=RETRAINING, split_seed=0)
    folder = RunFolder(path)
    with job.progress(path.name, config.training.max_epochs, config.training.metric) as report:
        train_run(dataset, config, folder, cache=job.cache, report=report, warm=warm)
    return folder

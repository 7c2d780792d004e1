"""Runs experiments: trains what is missing, opens each test split once, writes rows.

Any number of processes may work on one home folder: each run is taken by one of them; the others
go on with what is free and use the run when it is done.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.experiment import EnsembleVariant, Experiment, Variant
from benchmarks.measured import ensemble_rows, measured, variant_rows
from benchmarks.place import Place
from benchmarks.rows import Row, commit, update_rows
from mutualrec.progress import training_progress
from training.data.dataset import Dataset
from training.ensemble_folder import build_ensemble, evaluate_ensemble
from training.errors import (
    DataError,
    InvalidParams,
    TrainingDiverged,
    UnknownModel,
    UnknownStrategy,
)
from training.files import taking
from training.runs import evaluate_run, train_run
from training.tested import read_tested

EXPECTED = (DataError, InvalidParams, TrainingDiverged, UnknownModel, UnknownStrategy)
WAIT_S = 5.0
Show = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """One run of a variant, or one ensemble, whose seed is None."""

    experiment: Experiment
    dataset: Dataset
    subject: Variant | EnsembleVariant
    seed: int | None = None

    def __str__(self) -> str:
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.experiment.name} on {self.dataset.name}: {self.subject.label}{seed}"


def plan(
    experiments: Iterable[Experiment],
    datasets: Mapping[str, Dataset],
    only: Collection[str] = (),
) -> list[Job]:
    """List the runs of experiments on the datasets that are here, ensembles after their members.

    Args:
        experiments: The experiments.
        datasets: Datasets by name; an experiment's others are left out.
        only: Labels of the variants wanted; an ensemble brings its members. None is all.

    Raises:
        DataError: A label is unknown, or an experiment has no dataset here.
    """
    chosen = list(experiments)
    _check_labels(chosen, only)
    jobs = []
    for experiment in chosen:
        names = [name for name in experiment.datasets if name in datasets]
        if not names:
            raise DataError(
                f"{experiment.name} is measured on {', '.join(experiment.datasets)}, and none of "
                "them is here; import it (docs/data.md) and name its folder with --dataset"
            )
        ensembles = [e for e in experiment.ensembles if not only or e.label in only]
        wanted = {*only, *(label for ensemble in ensembles for label in ensemble.members)}
        for name in names:
            jobs += [
                Job(experiment, datasets[name], variant, seed)
                for variant in experiment.variants_on(name)
                if not only or variant.label in wanted
                for seed in experiment.seeds_of(variant)
            ]
            jobs += [Job(experiment, datasets[name], ensemble) for ensemble in ensembles]
    return jobs


def check(jobs: Iterable[Job], place: Place) -> None:
    """Refuse unknown models, parameters and settings before anything is trained.

    Raises:
        DataError, InvalidParams, UnknownModel, UnknownStrategy: Something does not fit.
    """
    for job in jobs:
        if isinstance(job.subject, Variant) and job.seed is not None:
            place.run(job.dataset, job.subject, job.seed)


def work(jobs: Sequence[Job], place: Place, show: Show = lambda _: None) -> dict[str, str]:
    """Do every job; rows are written after each.

    Returns:
        The jobs that failed and why; the others are done all the same.
    """
    commit()
    failed: dict[str, str] = {}
    waiting = list(enumerate(jobs, start=1))
    while waiting:
        busy = []
        for number, job in waiting:
            try:
                done = _attempt(job, place, f"[{number}/{len(jobs)}] {job}", show)
            except EXPECTED as error:
                failed[str(job)] = str(error)
                show(f"failed: {job}: {error}")
                continue
            if not done:
                busy.append((number, job))
        stuck = [job for _, job in busy if _lacks_members(job, place)]
        if failed and len(stuck) == len(busy):
            failed.update({str(job): "a member failed" for job in stuck})
            break
        if len(busy) == len(waiting):
            time.sleep(WAIT_S)
        waiting = busy
    return failed


def _attempt(job: Job, place: Place, title: str, show: Show) -> bool:
    """Do a job unless another process is at it; True when it is done."""
    subject = job.subject
    if isinstance(subject, EnsembleVariant):
        if _lacks_members(job, place):
            return False
        path = place.ensemble(job.experiment, job.dataset, subject)
    else:
        assert job.seed is not None
        path = place.run(job.dataset, subject, job.seed).path
    with taking(path, wait=False) as mine:
        if not mine:
            return False
        show(title)
        if isinstance(subject, EnsembleVariant):
            rows = _measure_ensemble(job, place, subject)
        else:
            rows = _measure_variant(job, place, subject)
    shown = {row.metric: row.value for row in rows if row.setting == subject.label}
    show(f"  {job.experiment.part}: " + ", ".join(f"{m} {v:.4f}" for m, v in shown.items()))
    return True


def _measure_variant(job: Job, place: Place, variant: Variant) -> list[Row]:
    assert job.seed is not None
    experiment, dataset = job.experiment, job.dataset
    folder, cache = place.run(dataset, variant, job.seed), place.workspace.cache
    config = place.config(dataset, variant, job.seed)
    training = config.training
    with training_progress(variant.label, training.max_epochs, training.metric) as report:
        train_run(dataset, config, folder, cache=cache, device=place.device, report=report)
    if experiment.part == "test":
        if read_tested(folder.path) is None:
            evaluate_run(dataset, folder, cache=cache)
        measured(folder.path)
    concerned = [variant, *(v for v in experiment.variants if v.over == variant.label)]
    return update_rows(
        experiment.name,
        lambda: [row for v in concerned for row in variant_rows(place, experiment, dataset, v)],
        place.results,
    )


def _measure_ensemble(job: Job, place: Place, ensemble: EnsembleVariant) -> list[Row]:
    experiment, dataset = job.experiment, job.dataset
    folder = place.ensemble(experiment, dataset, ensemble)
    if read_tested(folder) is None:
        runs = place.members(experiment, dataset, ensemble)
        build_ensemble(dataset, runs, folder, method=ensemble.method)
        evaluate_ensemble(dataset, folder)
    return update_rows(
        experiment.name,
        lambda: ensemble_rows(place, experiment, dataset, ensemble),
        place.results,
    )


def _lacks_members(job: Job, place: Place) -> bool:
    if not isinstance(job.subject, EnsembleVariant):
        return False
    runs = place.members(job.experiment, job.dataset, job.subject)
    return not all(run.finished for run in runs)


def _check_labels(experiments: Iterable[Experiment], only: Collection[str]) -> None:
    labels = [label for experiment in experiments for label in experiment.labels]
    unknown = sorted(set(only) - set(labels))
    if unknown:
        raise DataError(
            f"no variant is called {', '.join(unknown)}; choose from: {', '.join(labels)}"
        )

"""The rows of an experiment, computed from its tested runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.experiment import METRICS, EnsembleVariant, Experiment, Variant
from benchmarks.place import Place
from benchmarks.rows import Row, commit
from training.data.dataset import Dataset
from training.errors import DataError
from training.run_folder import RunFolder
from training.tested import Measured, read_tested, relative_change

CHANNEL_METRICS = ("recall@20", "ndcg@20")
CHANGE_METRIC = "recall@20"


def channel_setting(label: str, modality: str) -> str:
    """Return the setting of the row of a variant with one modality kept."""
    return f"{label}, only {modality} kept"


def change_metric(variant: Variant) -> str:
    """Return the metric under which a variant's change over another one is published."""
    return "ckd_lift_percent" if variant.strategy == "ckd" else f"{CHANGE_METRIC}_lift_percent"


def variant_rows(
    place: Place, experiment: Experiment, dataset: Dataset, variant: Variant
) -> list[Row]:
    """Return the rows of a variant over the seeds that are done.

    With one seed `low` and `high` are a 95 % bootstrap interval over users, with several the
    lowest and the highest seed. A change over another variant is computed user by user.
    """
    seeds = [
        seed
        for seed in experiment.seeds_of(variant)
        if _is_done(experiment, place.run(dataset, variant, seed))
    ]
    if not seeds:
        return []
    runs = [place.run(dataset, variant, seed) for seed in seeds]
    make = _RowMaker(place, experiment, dataset, variant.model, _commit_of(runs))
    metrics = [*METRICS, *(name for name in experiment.metrics if name not in METRICS)]
    if experiment.part == "validation":
        results = [run.result().validation for run in runs]
        return [make(variant.label, m, [r[m] for r in results], seeds) for m in metrics]
    tests = [measured(run.path) for run in runs]
    rows = []
    for name in metrics:
        interval = tests[0].intervals.get(name) if len(tests) == 1 else None
        rows.append(make(variant.label, name, [_means(t)[name] for t in tests], seeds, interval))
    if experiment.channels:
        rows += _channel_rows(make, variant, tests, seeds)
    return rows + _change_rows(make, variant, seeds)


def ensemble_rows(
    place: Place, experiment: Experiment, dataset: Dataset, ensemble: EnsembleVariant
) -> list[Row]:
    """Return the rows of a tested ensemble, with a bootstrap interval over users."""
    test = measured(place.ensemble(experiment, dataset, ensemble))
    variants = [v for v in experiment.variants if v.label in ensemble.members]
    seeds = sorted({seed for variant in variants for seed in experiment.seeds_of(variant)})
    make = _RowMaker(place, experiment, dataset, "ensemble", commit())
    return [
        make(ensemble.label, name, [_means(test)[name]], seeds, test.intervals.get(name))
        for name in METRICS
    ]


def measured(folder: Path) -> Measured:
    """Return what was measured on the test split.

    Raises:
        DataError: The measuring was interrupted.
    """
    test = read_tested(folder)
    if test is None or test.metrics is None:
        raise DataError(
            f"measuring {folder} on the test split was interrupted; delete the folder and run "
            "the benchmark again"
        )
    return test


class _RowMaker:
    """Makes the rows of one variant."""

    def __init__(
        self, place: Place, experiment: Experiment, dataset: Dataset, model: str, made_by: str
    ) -> None:
        self.place = place
        self.experiment = experiment
        self.dataset = dataset
        self.model = model
        self.made_by = made_by

    def __call__(
        self,
        setting: str,
        metric: str,
        values: Sequence[float],
        seeds: Sequence[int],
        interval: tuple[float, float] | None = None,
        digits: int = 4,
    ) -> Row:
        if interval is None and len(values) > 1:
            interval = (min(values), max(values))
        low, high = (None, None) if interval is None else (round(x, digits) for x in interval)
        return Row(
            benchmark=self.experiment.name,
            dataset=self.dataset.name,
            model=self.model,
            setting=setting,
            metric=metric,
            value=round(float(np.mean(values)), digits),
            low=low,
            high=high,
            seeds=list(seeds),
            command=self.place.command(self.experiment),
            commit=self.made_by,
        )


def _channel_rows(
    make: _RowMaker, variant: Variant, tests: Sequence[Measured], seeds: Sequence[int]
) -> list[Row]:
    modalities = sorted(set.intersection(*(set(test.channels) for test in tests)))
    return [
        make(
            channel_setting(variant.label, modality),
            metric,
            [test.channels[modality][metric] for test in tests],
            seeds,
        )
        for modality in modalities
        for metric in CHANNEL_METRICS
    ]


def _change_rows(make: _RowMaker, variant: Variant, seeds: Sequence[int]) -> list[Row]:
    if not variant.over:
        return []
    others = {other.label: other for other in make.experiment.variants}
    baseline = others[variant.over]
    pairs = {
        seed: (
            make.place.run(make.dataset, variant, seed),
            make.place.run(make.dataset, baseline, seed),
        )
        for seed in seeds
        if seed in make.experiment.seeds_of(baseline)
    }
    changes = [
        (seed, relative_change(ours.path, theirs.path, CHANGE_METRIC))
        for seed, (ours, theirs) in pairs.items()
        if _is_done(make.experiment, theirs)
    ]
    if not changes:
        return []
    interval = changes[0][1][1:] if len(changes) == 1 else None
    done = [seed for seed, _ in changes]
    values = [change for _, (change, _, _) in changes]
    metric = change_metric(variant)
    return [make(f"{variant.label} over {variant.over}", metric, values, done, interval, 2)]


def _is_done(experiment: Experiment, run: RunFolder) -> bool:
    if experiment.part == "validation" or not run.finished:
        return run.finished
    try:
        test = read_tested(run.path)
    except DataError:
        # Another process may be writing it; whoever takes the run itself reports real damage.
        return False
    return test is not None and test.metrics is not None


def _means(test: Measured) -> Mapping[str, float]:
    assert test.metrics is not None
    return test.metrics


def _commit_of(runs: Sequence[RunFolder]) -> str:
    """Return the commit whose code trained the runs; several are listed."""
    return ", ".join(sorted({run.result().commit or commit() for run in runs}))

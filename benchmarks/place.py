"""Where experiments run, and which folder belongs to which run."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.experiment import CONFIGS, EnsembleVariant, Experiment, Variant, run_config
from benchmarks.rows import RESULTS
from mutualrec.workspace import Workspace
from training.config import RunConfig
from training.data.dataset import Dataset
from training.run_folder import RunFolder
from training.runs import resolve, teacher_folder


@dataclass(frozen=True)
class Place:
    """Where runs and rows are kept and how runs are trained.

    Args:
        workspace: Runs, ensembles and caches.
        results: Folder of the result rows.
        configs: Folder of the settings chosen per dataset.
        num_threads: Threads of torch.
        device: Where to train.
        options: Options given on the command line that a row's command needs.
    """

    workspace: Workspace
    results: Path = RESULTS
    configs: Path = CONFIGS
    num_threads: int = 1
    device: str = "cpu"
    options: tuple[str, ...] = ()

    def command(self, experiment: Experiment) -> str:
        """Return the command that measures an experiment."""
        return " ".join(["mutualrec benchmark", experiment.name, *self.options])

    def config(self, dataset: Dataset, variant: Variant, seed: int) -> RunConfig:
        """Return the complete settings of a run.

        Raises:
            DataError: A setting does not fit.
            UnknownModel, UnknownStrategy: There is no such model or strategy.
            InvalidParams: A parameter does not fit.
        """
        given = run_config(variant, dataset.name, seed, self.num_threads, self.configs)
        return resolve(given, dataset)

    def run(self, dataset: Dataset, variant: Variant, seed: int) -> RunFolder:
        """Return the folder of a run; equal settings share it, whichever experiment asks.

        A plain run on one modality is what a strategy takes as a teacher, so it lies there.
        """
        config = self.config(dataset, variant, seed)
        if variant.modalities and len(variant.modalities) == 1 and config.strategy == "plain":
            return teacher_folder(self.workspace.runs(dataset.name), config, dataset)
        key = _digest([asdict(replace(config, seed=0)), dataset.fingerprint])
        name = f"bench-{config.model}-{key}-seed{seed}"
        return RunFolder(self.workspace.run(dataset.name, name))

    def members(
        self, experiment: Experiment, dataset: Dataset, ensemble: EnsembleVariant
    ) -> list[RunFolder]:
        """Return the runs of an ensemble: every seed of its members."""
        return [
            self.run(dataset, variant, seed)
            for variant in experiment.variants
            if variant.label in ensemble.members
            for seed in experiment.seeds_of(variant)
        ]

    def ensemble(self, experiment: Experiment, dataset: Dataset, ensemble: EnsembleVariant) -> Path:
        """Return the folder of an ensemble; it is named by its members."""
        names = [run.path.name for run in self.members(experiment, dataset, ensemble)]
        name = f"bench-{_digest([ensemble.method, names])}"
        return self.workspace.ensemble(dataset.name, name)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

"""Accuracy on the test split, everything chosen on validation, over several seeds.

    python -m benchmarks.accuracy data/baby --models bpr lightgcn micro --seeds 0 1 2

Settings come from `benchmarks/configs/<dataset>.toml`. Runs continue after an interruption and
are kept under the home folder; each opens the test split once. Besides the single models, an
ensemble of every seed's first-named models is measured when `--ensemble` names them.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.rows import Row, command_line, commit, write_rows
from mutualrec.progress import training_progress
from mutualrec.workspace import Workspace
from training.config import read_run_config
from training.data.dataset import Dataset, read_dataset
from training.ensemble_folder import build_ensemble, evaluate_ensemble
from training.run_folder import RunFolder
from training.runs import evaluate_run, train_run

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
CONFIGS = Path(__file__).parent / "configs"


def main() -> None:
    """Train, measure and write `results/accuracy.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--ensemble", nargs="*", default=[], help="members as model:seed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--home", type=Path, default=Path("var"))
    arguments = parser.parse_args()
    commit()
    dataset = read_dataset(arguments.dataset)
    workspace = Workspace(arguments.home)
    for model in arguments.models:
        folders = [
            _run(dataset, workspace, model, seed, arguments.threads) for seed in arguments.seeds
        ]
        write_rows("accuracy", _rows(dataset, model, arguments.seeds, folders))
    if arguments.ensemble:
        _ensemble(dataset, workspace, arguments)


def _run(dataset: Dataset, workspace: Workspace, model: str, seed: int, threads: int) -> RunFolder:
    config = read_run_config(
        CONFIGS / f"{dataset.name}.toml",
        model=model,
        seed=seed,
        training={"num_threads": threads},
    )
    folder = RunFolder(workspace.run(dataset.name, f"{model}-seed{seed}"))
    training = config.training
    with training_progress(folder.path.name, training.max_epochs, training.metric) as report:
        train_run(dataset, config, folder, cache=workspace.cache, report=report)
    if not (folder.path / "test.json").exists():
        evaluate_run(dataset, folder, cache=workspace.cache)
    return folder


def _rows(
    dataset: Dataset, model: str, seeds: Sequence[int], folders: Sequence[RunFolder]
) -> list[Row]:
    tests = [_test_metrics(folder.path) for folder in folders]
    rows = []
    for metric in METRICS:
        values = [test[metric] for test in tests]
        rows.append(
            Row(
                benchmark="accuracy",
                dataset=dataset.name,
                model=model,
                setting="test, chosen on validation; low and high are over seeds",
                metric=metric,
                value=round(float(np.mean(values)), 4),
                low=round(min(values), 4),
                high=round(max(values), 4),
                seeds=list(seeds),
                command=command_line(),
                commit=commit(),
            )
        )
    return rows


def _test_metrics(folder: Path) -> dict[str, float]:
    metrics: dict[str, float] = json.loads((folder / "test.json").read_text())["metrics"]
    return metrics


def _ensemble(dataset: Dataset, workspace: Workspace, arguments: argparse.Namespace) -> None:
    """Measure one ensemble; low and high are a bootstrap interval over users."""
    names = [member.replace(":", "-seed") for member in arguments.ensemble]
    folder = workspace.ensemble(dataset.name, "+".join(names))
    if (folder / "test.json").exists():
        return
    runs = [RunFolder(workspace.run(dataset.name, name)) for name in names]
    chosen = build_ensemble(dataset, runs, folder)
    metrics = evaluate_ensemble(dataset, folder)
    weights = ", ".join(f"{m.name} {m.weight:g}" for m in chosen.members)
    rng = np.random.default_rng(0)
    rows = []
    for metric in METRICS:
        low, high = metrics.interval(metric, rng)
        rows.append(
            Row(
                benchmark="accuracy",
                dataset=dataset.name,
                model="ensemble",
                setting=f"test, concat of {weights}; 95 % bootstrap over users",
                metric=metric,
                value=round(metrics.means[metric], 4),
                low=round(low, 4),
                high=round(high, 4),
                seeds=[int(name.rsplit("seed", 1)[1]) for name in names],
                command=command_line(),
                commit=commit(),
            )
        )
    write_rows("accuracy", rows)


if __name__ == "__main__":
    main()

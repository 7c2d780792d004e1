"""Seconds of one epoch and of one full-ranking evaluation of every model, and peak memory.

python -m benchmarks.speed data/amazon-baby
"""

import argparse
import resource
import statistics
import time
from pathlib import Path

import torch

from benchmarks.rows import Row, command_line, commit, machine, write_rows
from training.checkpoint import Checkpoint
from training.config import TrainingConfig, read_run_config
from training.data.dataset import Dataset, read_dataset
from training.data.splits import Pairs, make_split
from training.evaluation import evaluate
from training.inputs import build_inputs
from training.registry import build_model, model_names, parse_params
from training.runs import resolve
from training.strategies.strategy import Strategy
from training.trainer import EpochReport, Trainer

CONFIGS = Path(__file__).parent / "configs"
EVALUATIONS = 5


class Discard:
    """A run's storage that keeps the epoch times and nothing else."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def load_checkpoint(self) -> Checkpoint | None:
        """There is none."""

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Drop it."""

    def append_report(self, report: EpochReport) -> None:
        """Keep the training time of the epoch."""
        self.seconds.append(report.train_s)


def main() -> None:
    """Measure and write `results/speed.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=7, help="of each model, at least 2")
    parser.add_argument("--models", nargs="+", default=model_names())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dataset = read_dataset(arguments.dataset)
    for name in arguments.models:
        write_rows("speed", measure(dataset, name, arguments.threads, arguments.epochs))


def measure(dataset: Dataset, name: str, threads: int, epochs: int) -> list[Row]:
    """Train a model in batches of 2,048 and with its other settings, then evaluate it.

    Args:
        dataset: Its settings are those of its file in `configs`.
        name: The model; nothing is measured of one that has nothing to train.
        threads: Of PyTorch.
        epochs: At least 2; the first warms caches up and does not count.
    """
    settings = resolve(read_run_config(_settings_of(dataset), model=name, seed=0), dataset)
    split = make_split(dataset, settings.split, settings.split_seed)
    inputs = build_inputs(dataset, split.train)
    model = build_model(name, parse_params(name, settings.params), inputs, 0)
    if not list(model.parameters()):
        return []
    storage = Discard()
    config = TrainingConfig(max_epochs=epochs, eval_every=epochs, num_threads=threads)
    empty = Pairs.of(split.train.user_rows[:0], split.train.item_rows[:0])
    Trainer(Strategy(model), split.train, empty, config, 0, storage).fit()
    seconds = []
    for _ in range(EVALUATIONS):
        begin = time.perf_counter()
        evaluate(model.scorer(), split.validation, split.train, dataset.num_users)
        seconds.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return [
        _row(dataset.name, name, "epoch_seconds", storage.seconds[1:], threads),
        _row(dataset.name, name, "evaluation_seconds", seconds, threads),
        _row(dataset.name, "all", "peak_memory_gib", [peak], threads),
    ]


def _settings_of(dataset: Dataset) -> Path | None:
    path = CONFIGS / f"{dataset.name}.toml"
    return path if path.exists() else None


def _row(dataset: str, model: str, metric: str, seconds: list[float], threads: int) -> Row:
    return Row(
        benchmark="speed",
        dataset=dataset,
        model=model,
        setting=f"threads={threads}, {machine()}",
        metric=metric,
        value=round(statistics.median(seconds), 3),
        low=round(min(seconds), 3),
        high=round(max(seconds), 3),
        seeds=[0],
        command=command_line(),
        commit=commit(),
    )


if __name__ == "__main__":
    main()

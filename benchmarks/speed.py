"""Seconds of one epoch of LightGCN and of one full-ranking evaluation, and peak memory.

python -m benchmarks.speed data/baby
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
from training.data.dataset import read_dataset
from training.data.splits import Pairs, make_split
from training.evaluation import evaluate
from training.inputs import build_inputs
from training.registry import build_model, parse_params
from training.strategies.strategy import Strategy
from training.trainer import EpochReport, Trainer

CONFIGS = Path(__file__).parent / "configs"
EPOCHS = 7
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
    parser.add_argument("--models", nargs="+", default=["lightgcn", "micro", "bpr"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dataset = read_dataset(arguments.dataset)
    split = make_split(dataset, "official", 0)
    inputs = build_inputs(dataset, split.train)
    rows = []
    for name in arguments.models:
        settings = read_run_config(CONFIGS / f"{dataset.name}.toml", model=name, seed=0)
        model = build_model(name, parse_params(name, settings.params), inputs, 0)
        storage = Discard()
        config = TrainingConfig(max_epochs=EPOCHS, eval_every=EPOCHS, num_threads=arguments.threads)
        empty = Pairs.of(split.train.user_rows[:0], split.train.item_rows[:0])
        Trainer(Strategy(model), split.train, empty, config, 0, storage).fit()
        # The first epoch warms caches up.
        rows.append(_row(dataset.name, name, "epoch_seconds", storage.seconds[1:], arguments))
        seconds = []
        for _ in range(EVALUATIONS):
            begin = time.perf_counter()
            evaluate(model.scorer(), split.validation, split.train, dataset.num_users)
            seconds.append(time.perf_counter() - begin)
        rows.append(_row(dataset.name, name, "evaluation_seconds", seconds, arguments))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rows.append(_row(dataset.name, "all", "peak_memory_gib", [peak], arguments))
    write_rows("speed", rows)


def _row(
    dataset: str, model: str, metric: str, seconds: list[float], arguments: argparse.Namespace
) -> Row:
    return Row(
        benchmark="speed",
        dataset=dataset,
        model=model,
        setting=f"threads={arguments.threads}, {machine()}",
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

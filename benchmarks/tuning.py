"""Validation metrics of settings around the chosen ones; the test split is never opened.

    python -m benchmarks.tuning data/baby

Reads `benchmarks/configs/<dataset>.tuning.toml`: each variant changes some parameters of the
chosen settings in `<dataset>.toml`. Runs continue after an interruption.
"""

import argparse
import tomllib
from pathlib import Path
from typing import cast

from benchmarks.rows import Row, command_line, commit, write_rows
from mutualrec.progress import training_progress
from mutualrec.workspace import Workspace
from training.config import read_run_config
from training.data.dataset import Dataset, read_dataset
from training.run_folder import RunFolder
from training.runs import train_run

CONFIGS = Path(__file__).parent / "configs"
METRICS = ("recall@20", "ndcg@20")


def main() -> None:
    """Train every variant and write `results/tuning.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--models", nargs="+", default=["bpr", "lightgcn", "micro"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--home", type=Path, default=Path("var"))
    arguments = parser.parse_args()
    commit()
    dataset = read_dataset(arguments.dataset)
    listed = tomllib.loads((CONFIGS / f"{dataset.name}.tuning.toml").read_text())["variant"]
    chosen: list[dict[str, object]] = [{"model": model, "params": {}} for model in arguments.models]
    for variant in chosen + listed:
        model = str(variant["model"])
        if model in arguments.models:
            params = cast(dict[str, object], variant["params"])
            _measure(dataset, model, params, arguments)


def _measure(
    dataset: Dataset, model: str, params: dict[str, object], arguments: argparse.Namespace
) -> None:
    workspace = Workspace(arguments.home)
    config = read_run_config(
        CONFIGS / f"{dataset.name}.toml",
        model=model,
        seed=0,
        params=params,
        training={"num_threads": arguments.threads},
    )
    shown = ", ".join(f"{name}={value}" for name, value in params.items())
    name = f"{model}-seed0" + "".join(f"-{key}-{value}" for key, value in params.items())
    folder = RunFolder(workspace.run(dataset.name, name))
    training = config.training
    with training_progress(name, training.max_epochs, training.metric) as report:
        train_run(dataset, config, folder, cache=workspace.cache, report=report)
    result = folder.result()
    means = result.validation
    rows = [
        Row(
            benchmark="tuning",
            dataset=dataset.name,
            model=model,
            setting=f"validation, {shown or 'as chosen'}, best epoch {result.best_epoch}",
            metric=metric,
            value=round(means[metric], 4),
            low=None,
            high=None,
            seeds=[0],
            command=command_line(),
            commit=commit(),
        )
        for metric in METRICS
    ]
    write_rows("tuning", rows)


if __name__ == "__main__":
    main()

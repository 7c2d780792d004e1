"""`mutualrec demo`: from nothing to a running service with one command."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from mutualrec.commands.serving import Host, Port, run_server, serving_settings
from mutualrec.options import DEFAULT_HOME, Home, workspace

if TYPE_CHECKING:
    from service.settings import Settings

commands = typer.Typer()

DATASET = "demo"
MODELS = ("micro", "lightgcn", "itemcf")
MAX_EPOCHS = 60


@commands.command()
def demo(
    host: Host = None,
    port: Port = None,
    serve: bool = typer.Option(True, help="Start the service when everything is there."),
    home: Home = DEFAULT_HOME,
) -> None:
    """Generate demo data, train a small ensemble, publish it and serve it.

    What an earlier call has made is used again.
    """
    from service.artifact import current_version

    console = Console(soft_wrap=True)
    if current_version(workspace(home).artifacts, "default") is None:
        prepare(home, console)
    if serve:
        with serving_settings(home, host=host, port=port) as settings:
            run_server(settings, announce=invitation(settings))


def prepare(home: Path, console: Console) -> None:
    """Generate the data, train `MODELS`, choose the ensemble, measure it once, publish it."""
    from mutualrec.progress import training_progress
    from training.config import RunConfig, TrainingConfig
    from training.data.dataset import read_dataset
    from training.data.importers.demo import import_demo
    from training.ensemble_folder import build_ensemble, evaluate_ensemble, read_ensemble
    from training.publish import publish
    from training.run_folder import RunFolder
    from training.runs import train_run

    folders = workspace(home)
    folder = home / "datasets" / DATASET
    if not (folder / "dataset.toml").exists():
        import_demo(folder)
    dataset = read_dataset(folder)
    console.print(f"demo data: {dataset.num_users:,} users, {dataset.num_items:,} items")
    runs = []
    for model in MODELS:
        config = RunConfig(
            model=model,
            params={"rank": 128} if model == "itemcf" else {},
            training=TrainingConfig(
                max_epochs=MAX_EPOCHS, max_seconds=35.0, eval_every=3, patience=4
            ),
        )
        run = RunFolder(folders.run(DATASET, f"{model}-seed0"))
        with training_progress(model, MAX_EPOCHS, "recall@20") as report:
            train_run(dataset, config, run, cache=folders.cache, report=report)
        runs.append(run)
    path = folders.ensemble(DATASET, "default")
    if not (path / "test.json").exists():
        build_ensemble(dataset, runs, path)
        evaluate_ensemble(dataset, path)
    chosen = read_ensemble(path)
    assert chosen.test is not None
    console.print(
        f"ensemble: recall@20 {chosen.validation['recall@20']:.4f} on validation, "
        f"{chosen.test['recall@20']:.4f} on test"
    )
    version = publish(dataset, chosen, folders.artifacts, "default", dataset_folder=folder)
    console.print(f"published version {version}")


def invitation(settings: "Settings") -> str:
    """Return what to try: a curl line for each endpoint."""
    base = f"http://{settings.host}:{settings.port}"
    return "\n".join(
        (
            "",
            f"Serving on {base} (stop with Ctrl-C). Try in another terminal:",
            "",
            "  # ten recommendations for a known user",
            f"  curl '{base}/recommend/user-0001?k=10&metadata=true'",
            "  # someone new gets what is popular",
            f"  curl '{base}/recommend/someone-new?k=5'",
            "  # tell it what the user did; the next answer has changed",
            f"  curl -X POST '{base}/interactions' -H 'content-type: application/json' \\",
            '       -d \'{"user_id": "user-0001", "item_id": "item-042", "type": "purchase"}\'',
            "  # probes, metrics, documentation",
            f"  curl '{base}/health/live'",
            f"  curl '{base}/health/ready'",
            f"  curl '{base}/metrics'",
            f"  curl '{base}/docs'",
            "  # learn from the new events and swap to the new version",
            "  mutualrec retrain",
            "",
        )
    )

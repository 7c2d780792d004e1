"""Commands of the offline side: train, evaluate, ensemble, publish."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mutualrec.announcing import announce
from mutualrec.options import (
    DEFAULT_HOME,
    Catalog,
    DatasetFolder,
    Home,
    device_named,
    parse_settings,
    workspace,
)
from mutualrec.progress import training_progress

commands = typer.Typer()
SHOWN = ("recall@10", "recall@20", "ndcg@10", "ndcg@20", "precision@10")


@commands.command()
def train(
    dataset: DatasetFolder,
    model: Annotated[str, typer.Option(help="Registry name, such as micro or lightgcn.")],
    config: Annotated[
        Path | None, typer.Option(help="TOML file of settings: params, training, split ...")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="Model parameter name=value; repeatable.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Training setting name=value; repeatable.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="How to train: plain (the default), ckd, gb or ogm.")
    ] = None,
    strategy_param: Annotated[
        list[str] | None, typer.Option(help="Strategy parameter name=value; repeatable.")
    ] = None,
    modality: Annotated[
        list[str] | None,
        typer.Option(help="Modality to learn from; repeatable. All dense ones if none."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of initial values and sampling.")] = 0,
    split: Annotated[str | None, typer.Option(help="Split to train and validate on.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Run name; <model>[-<strategy>]-seed<seed> if none.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    home: Home = DEFAULT_HOME,
) -> None:
    """Train one model; run it again to continue after an interruption."""
    from training.config import read_run_config
    from training.data.dataset import read_dataset
    from training.run_folder import RunFolder
    from training.runs import train_run

    run = read_run_config(
        config,
        model=model,
        seed=seed,
        split=split,
        params=parse_settings(param or []),
        training=parse_settings(setting or []),
        modalities=modality,
        strategy=strategy,
        strategy_params=parse_settings(strategy_param or []),
    )
    data = read_dataset(dataset)
    trained = run.model if run.strategy == "plain" else f"{run.model}-{run.strategy}"
    folder = RunFolder(workspace(home).run(data.name, name or f"{trained}-seed{seed}"))
    with training_progress(
        folder.path.name, run.training.max_epochs, run.training.metric
    ) as report:
        result = train_run(
            data,
            run,
            folder,
            cache=workspace(home).cache,
            device=device_named(device),
            report=report,
        )
    _table(f"{folder.path}: validation, epoch {result.best_epoch}", result.validation)


@commands.command()
def evaluate(
    dataset: DatasetFolder,
    run: Annotated[str | None, typer.Option(help="Run to measure.")] = None,
    ensemble: Annotated[str | None, typer.Option(help="Ensemble to measure.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Measure a run or an ensemble on the test split: possible once."""
    from training.data.dataset import read_dataset
    from training.ensemble_folder import evaluate_ensemble
    from training.run_folder import RunFolder
    from training.runs import evaluate_run

    if (run is None) == (ensemble is None):
        raise typer.BadParameter("name either --run or --ensemble")
    data = read_dataset(dataset)
    folders = workspace(home)
    if run is not None:
        path = folders.run(data.name, run)
        metrics = evaluate_run(data, RunFolder(path), cache=folders.cache)
    else:
        path = folders.ensemble(data.name, str(ensemble))
        metrics = evaluate_ensemble(data, path)
    _table(f"{path}: test", metrics.means)


@commands.command()
def ensemble(
    dataset: DatasetFolder,
    run: Annotated[
        list[str] | None, typer.Option(help="Run to include; repeatable. All finished if none.")
    ] = None,
    method: Annotated[str, typer.Option(help="concat or average.")] = "concat",
    weight: Annotated[
        list[float] | None, typer.Option(help="Weight per run; chosen on validation if none.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the ensemble.")] = "default",
    home: Home = DEFAULT_HOME,
) -> None:
    """Combine trained models into one space; weights are chosen on validation."""
    from training.data.dataset import read_dataset
    from training.ensemble_folder import build_ensemble
    from training.run_folder import RunFolder, finished_runs

    if method not in ("concat", "average"):
        raise typer.BadParameter(f'method is concat or average, got "{method}"')
    data = read_dataset(dataset)
    folders = workspace(home)
    if run:
        runs = [RunFolder(folders.run(data.name, one)) for one in run]
    else:
        runs = finished_runs(folders.runs(data.name))
    path = folders.ensemble(data.name, name)
    chosen = build_ensemble(
        data,
        runs,
        path,
        method="average" if method == "average" else "concat",
        weights=weight,
    )
    table = Table("member", "weight", "recall@20 alone", title=f"{path} ({method})")
    for member in chosen.members:
        table.add_row(member.name, f"{member.weight:g}", f"{member.validation['recall@20']:.4f}")
    Console().print(table)
    _table("ensemble: validation", chosen.validation)


@commands.command()
def publish(
    dataset: DatasetFolder,
    ensemble: Annotated[str, typer.Option(help="Name of the ensemble.")] = "default",
    catalog: Catalog = "default",
    home: Home = DEFAULT_HOME,
) -> None:
    """Write an ensemble as an artifact version; running services swap to it."""
    from training.data.dataset import read_dataset
    from training.ensemble_folder import check_dataset, read_ensemble
    from training.publish import publish as publish_ensemble

    data = read_dataset(dataset)
    folders = workspace(home)
    path = folders.ensemble(data.name, ensemble)
    chosen = read_ensemble(path)
    check_dataset(chosen, data, path)
    version = publish_ensemble(data, chosen, folders.artifacts, catalog, dataset_folder=dataset)
    announce(home, catalog)
    Console(soft_wrap=True).print(f"catalog {catalog}: version {version} is current")


def _table(title: str, metrics: object) -> None:
    assert isinstance(metrics, dict)
    table = Table(*SHOWN, title=title)
    table.add_row(*(f"{metrics[name]:.4f}" for name in SHOWN))
    Console().print(table)

"""The command that measures the published experiments anew."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mutualrec.options import DEFAULT_HOME, Home, device_named, workspace

if TYPE_CHECKING:
    from benchmarks.experiment import Experiment
    from training.data.dataset import Dataset

commands = typer.Typer()
DATASETS = Path("data")


@commands.command()
def benchmark(
    name: Annotated[
        list[str] | None, typer.Argument(help="Experiment, group of experiments, or all.")
    ] = None,
    dataset: Annotated[
        list[Path] | None,
        typer.Option(help="Dataset folder, or folder of several; repeatable. `data` if none."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Label of the variant to measure; repeatable.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds for every variant, such as 0,1,2.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    results: Annotated[
        Path | None,
        typer.Option(help="Folder of the result rows; without it the checkout's, and its page."),
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the experiments.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Measure experiments: train what is missing, test it once, write rows, page and pictures.

    What is finished is used again, so an interrupted benchmark continues, and several processes
    may share the work of one home folder.
    """
    _check_checkout()
    from benchmarks.experiment import choose, read_experiments
    from benchmarks.place import Place
    from benchmarks.rows import RESULTS
    from benchmarks.runner import check, plan, work
    from benchmarks.tables import write_page

    experiments = read_experiments()
    if show_list or not name:
        _show(experiments)
        return
    chosen = choose(experiments, name)
    given = _seeds(seeds)
    if given:
        chosen = [experiment.reseeded(given) for experiment in chosen]
    options = ("--threads", str(threads), *(("--seeds", str(seeds)) if given else ()))
    place = Place(
        workspace=workspace(home),
        results=results or RESULTS,
        num_threads=threads,
        device=device_named(device),
        options=options,
    )
    jobs = plan(chosen, _datasets(dataset or [DATASETS]), only or ())
    check(jobs, place)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    try:
        failed = work(jobs, place, console.print)
    finally:
        if results is None:
            write_page()
    if failed:
        from training.errors import DataError

        shown = "; ".join(f"{job}: {reason}" for job, reason in failed.items())
        raise DataError(f"{len(failed)} of {len(jobs)} runs failed: {shown}")


def _check_checkout() -> None:
    from training.errors import DataError

    try:
        import benchmarks  # noqa: F401  # whether it is there
    except ModuleNotFoundError as error:
        if error.name != "benchmarks":
            raise
        raise DataError(
            "the benchmarks come with the source only; run this in an editable install of a "
            "checkout (pip install -e .)"
        ) from error


def _datasets(folders: list[Path]) -> dict[str, "Dataset"]:
    """Read the datasets in the folders, by name."""
    from training.data.dataset import read_dataset
    from training.errors import DataError

    found = [
        path.parent
        for folder in folders
        for path in sorted([*folder.glob("dataset.toml"), *folder.glob("*/dataset.toml")])
    ]
    if not found:
        raise DataError(
            f"no dataset in {', '.join(map(str, folders))}; import one (docs/data.md) and name "
            "its folder with --dataset"
        )
    datasets = [read_dataset(path) for path in found]
    return {dataset.name: dataset for dataset in datasets}


def _seeds(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f'seeds are numbers like 0,1,2, got "{text}"') from error
    if min(seeds) < 0:
        raise typer.BadParameter(f'seeds are 0 or more, got "{text}"')
    return seeds


def _show(experiments: Mapping[str, "Experiment"]) -> None:
    table = Table("experiment", "runs", "on", "shows")
    for experiment in experiments.values():
        runs = sum(
            len(experiment.seeds_of(variant))
            for name in experiment.datasets
            for variant in experiment.variants_on(name)
        )
        table.add_row(experiment.name, str(runs), ", ".join(experiment.datasets), experiment.title)
    Console().print(table)
    groups = sorted({e.group for e in experiments.values()} - experiments.keys())
    Console().print(f"several at once: {', '.join([*groups, 'all'])}")

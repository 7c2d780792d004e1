"""`mutualrec import ...`: bring data into a dataset folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from training.data.importers.report import ImportReport

app = typer.Typer(help="Bring data into a dataset folder.", no_args_is_help=True)

Source = Annotated[Path, typer.Argument(help="Where the data lies.")]
Target = Annotated[Path, typer.Argument(help="Dataset folder to write.")]
Name = Annotated[str | None, typer.Option(help="Name of the dataset; the target's by default.")]


@app.command()
def mmrec(source: Source, target: Target, name: Name = None) -> None:
    """Import a folder of the MMRec benchmarks: one .inter file with labels, .npy features."""
    from training.data.importers.mmrec import import_mmrec

    _show(import_mmrec(source, target, name=name), target)


@app.command()
def movielens(
    source: Source,
    target: Target,
    name: Name = None,
    threshold: Annotated[float, typer.Option(help="Ratings below it are dislikes.")] = 0.0,
) -> None:
    """Import a MovieLens folder (100K, 1M, latest) with or without features."""
    from training.data.importers.movielens import import_movielens

    _show(import_movielens(source, target, name=name, threshold=threshold), target)


@app.command()
def demo(
    target: Target,
    users: Annotated[int, typer.Option(help="Number of users.", min=10)] = 2000,
    items: Annotated[int, typer.Option(help="Number of items.", min=10)] = 800,
    seed: Annotated[int, typer.Option(help="Seed of the generator.")] = 0,
) -> None:
    """Generate the synthetic demo data."""
    from training.data.importers.demo import import_demo

    _show(import_demo(target, num_users=users, num_items=items, seed=seed), target)


def _show(report: "ImportReport", target: Path) -> None:
    console = Console(soft_wrap=True)
    counts = ", ".join(f"{value:,} {name}" for name, value in report.counts.items())
    console.print(f"{target}: {counts}", highlight=False)
    for warning in report.warnings:
        console.print(f"note: {warning}", style="yellow", markup=False, highlight=False)

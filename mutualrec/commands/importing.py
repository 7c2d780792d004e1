"""`mutualrec import ...`: bring data into a dataset folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mutualrec.options import parse_settings

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
def csv(
    source: Source,
    target: Target,
    name: Name = None,
    user: Annotated[str, typer.Option(help="Column of user ids.")] = "user_id",
    item: Annotated[str, typer.Option(help="Column of item ids.")] = "item_id",
    timestamp: Annotated[str | None, typer.Option(help="Column of times.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Column of event types.")] = None,
    value: Annotated[str | None, typer.Option(help="Column of values.")] = None,
    items: Annotated[Path | None, typer.Option(help="Table of items with metadata.")] = None,
    categorical: Annotated[
        list[str] | None, typer.Option(help="Item column that is a modality; repeatable.")
    ] = None,
    feature: Annotated[
        list[str] | None, typer.Option(help="Vectors of a modality, name=file.npy; repeatable.")
    ] = None,
    feature_ids: Annotated[
        list[str] | None,
        typer.Option(help="Item id of every row of a modality's vectors, name=file; repeatable."),
    ] = None,
) -> None:
    """Import a table of interactions (CSV, Parquet, NDJSON), with items and vectors if any."""
    from training.data.importers.catalogue_files import CatalogueFiles
    from training.data.importers.csv import Columns, import_csv

    columns = Columns(user=user, item=item, timestamp=timestamp, type=kind, value=value)
    catalogue = CatalogueFiles(
        items=items,
        categorical=tuple(categorical or ()),
        features=_files(feature),
        feature_ids=_files(feature_ids),
    )
    _show(import_csv(source, target, name=name, columns=columns, catalogue=catalogue), target)


@app.command()
def sec13f(
    source: Source,
    target: Target,
    name: Name = None,
    companies: Annotated[
        list[Path] | None,
        typer.Option(
            help="Table of companies keyed by CUSIP, CUSIP-6, ticker or name; repeatable. "
            "By default companies.* in the source."
        ),
    ] = None,
    categorical: Annotated[
        list[str] | None,
        typer.Option(help="Company column that is a modality; repeatable. By default all fitting."),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help="Company column of prose that becomes vectors; repeatable."),
    ] = None,
    group: Annotated[
        float | None,
        typer.Option(help="Make one modality of columns that share this part of what they tell."),
    ] = None,
) -> None:
    """Import the SEC's Form 13F data sets: fund companies, companies, positions as events."""
    from training.data.importers.sec13f import import_sec13f

    report = import_sec13f(
        source,
        target,
        name=name,
        company_tables=companies or (),
        categorical=categorical,
        texts=text or (),
        group=group,
    )
    _show(report, target)
    typer.echo((target / "funds" / "reconciliation.json").read_text(encoding="utf-8"), nl=False)


@app.command()
def demo(
    target: Target,
    users: Annotated[int, typer.Option(help="Number of users.", min=1)] = 2000,
    items: Annotated[int, typer.Option(help="Number of items.", min=50)] = 800,
    seed: Annotated[int, typer.Option(help="Seed of the generator.")] = 0,
) -> None:
    """Generate the synthetic demo data."""
    from training.data.importers.demo import import_demo

    _show(import_demo(target, num_users=users, num_items=items, seed=seed), target)


def _files(pairs: list[str] | None) -> dict[str, Path]:
    return {name: Path(str(path)) for name, path in parse_settings(pairs or []).items()}


def _show(report: "ImportReport", target: Path) -> None:
    console = Console(soft_wrap=True)
    counts = ", ".join(f"{value:,} {name}" for name, value in report.counts.items())
    console.print(f"{target}: {counts}", highlight=False)
    if report.rejected:
        console.print(
            f"{report.rejected:,} rows rejected, see {report.reject_file}", style="yellow"
        )
    for warning in report.warnings:
        console.print(f"note: {warning}", style="yellow", markup=False, highlight=False)

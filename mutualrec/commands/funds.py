"""`mutualrec funds ...`: what catalogs of fund companies have beyond others."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mutualrec.commands.serving import load_settings
from mutualrec.options import DEFAULT_HOME, Catalog, Home, device_named, workspace

app = typer.Typer(help="Fund companies: case studies and the audit log.", no_args_is_help=True)
audit = typer.Typer(help="The audit log of what was answered.", no_args_is_help=True)
app.add_typer(audit, name="audit")

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_ANCHOR = re.compile(r"([1-9]\d*):([0-9a-f]{64})")


@app.command()
def report(
    fund: Annotated[str, typer.Argument(help="Id, CIK or name of the fund company.")],
    quarter: Annotated[str, typer.Option(help="The last quarter that is known, such as 2025Q1.")],
    dataset: Annotated[
        Path | None, typer.Option(help="Dataset folder; the one the catalog learned from if none.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="HTML file; funds-<fund>-<quarter>.html here if none.")
    ] = None,
    k: Annotated[int, typer.Option(help="How many companies to recommend.", min=1, max=200)] = 20,
    ahead: Annotated[
        int, typer.Option(help="How many of the next quarters may bring a purchase.", min=1)
    ] = 1,
    domain: Annotated[
        str | None, typer.Option(help="Category of companies to draw by; the sector if none.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Model to train; repeatable. Those of the catalog's version if none."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file of settings of the models, as `train` reads it.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    catalog: Catalog = "funds",
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a page on what was recommended to a fund after a quarter, and what it bought then.

    Models learn from the filings up to that quarter only; they are kept, so that further reports
    on the quarter come at once.
    """
    from mutualrec.fund_report.making import Wanted, find_source, make_case
    from mutualrec.fund_report.page import render
    from mutualrec.fund_report.subject import find_subject
    from training.config import read_run_config
    from training.files import replace_text

    if config is not None and not model:
        raise typer.BadParameter("--config has settings of models: name each with --model")
    members = [read_run_config(config, model=name, seed=0) for name in model or ()]
    folders = workspace(home)
    source = find_source(folders, catalog, dataset, members)
    subject = find_subject(source.dataset_folder, fund, quarter, ahead)
    case = make_case(folders, source, subject, Wanted(k, domain), device_named(device))
    path = to or Path(f"funds-{_NOT_IN_NAMES.sub('-', subject.fund_id)}-{case.quarter}.html")
    replace_text(path, render(case))
    Console(soft_wrap=True, highlight=False).print(
        f"{path}: {case.name} after {case.quarter}, {case.num_hits} of "
        f"{len(case.recommended)} recommended companies were entered in {', '.join(case.later)}",
        markup=False,
    )


@audit.command()
def verify(
    catalog: Catalog = "funds",
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the log, such as an archived copy.")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(help="NUMBER:HASH that an earlier check printed; that line must be there."),
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Look for lines that were changed, removed or inserted. Exit code 1 when there are any."""
    from service.funds.audit_check import verify as look_through

    anchor = None if head is None else _ANCHOR.fullmatch(head)
    if head is not None and anchor is None:
        raise typer.BadParameter(f'"{head}" is not NUMBER:HASH as this command prints it')
    log = folder or load_settings(home).audit / catalog
    if not log.is_dir():
        raise typer.BadParameter(
            f"there is no audit log in {log}; name its --home, --catalog or --folder"
        )
    found = look_through(log, anchor=None if anchor is None else (int(anchor[1]), str(anchor[2])))
    console = Console(soft_wrap=True, highlight=False)
    for finding in found.findings:
        console.print(f"{finding.place}: {finding.what}", style="red", markup=False)
    console.print(
        f"{log}: {found.num_lines:,} lines in {found.num_files:,} files, "
        f"{len(found.findings)} findings; head {found.seq}:{found.hash}",
        markup=False,
    )
    if found.findings:
        raise typer.Exit(1)

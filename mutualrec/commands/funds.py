"""`mutualrec funds ...`: what catalogs of fund companies have beyond others."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mutualrec.commands.serving import load_settings
from mutualrec.options import DEFAULT_HOME, Catalog, Home

app = typer.Typer(help="Fund companies: case studies and the audit log.", no_args_is_help=True)
audit = typer.Typer(help="The audit log of what was answered.", no_args_is_help=True)
app.add_typer(audit, name="audit")

_ANCHOR = re.compile(r"([1-9]\d*):([0-9a-f]{64})")


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

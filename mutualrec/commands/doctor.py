"""`mutualrec doctor`: what may be wrong with this installation."""

import json
import os
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from mutualrec.commands.serving import serving_settings
from mutualrec.options import DEFAULT_HOME, Home

commands = typer.Typer()

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@commands.command()
def doctor(
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object per check."),
    home: Home = DEFAULT_HOME,
) -> None:
    """Check Redis, threads, artifacts, disk and keys. Exit code 1 if anything is an error.

    Settings come from the same MUTUALREC_* variables as those of `serve`.
    """
    from service.doctor import examine

    with serving_settings(home) as settings:
        findings = list(examine(settings, os.environ))
    if as_json:
        for finding in findings:
            typer.echo(json.dumps(asdict(finding)))
    else:
        table = Table("check", "", "finding")
        for finding in findings:
            fix = f"\nfix: {finding.fix}" if finding.fix else ""
            table.add_row(
                finding.check,
                f"[{_COLOURS[finding.level]}]{finding.level}[/]",
                (finding.says + fix).replace("[", r"\["),
            )
        Console().print(table, highlight=False)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)

"""Commands on the event log: drain, export, import, verify, compact."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mutualrec.commands.serving import serving_settings
from mutualrec.options import DEFAULT_HOME, Catalog, Home, workspace

app = typer.Typer(
    help="Keep the event log: drain, export, import, verify, compact.", no_args_is_help=True
)

_SHOWN_FAULTS = 20


@app.command()
def drain(
    catalog: Catalog = "default",
    consumer: Annotated[
        str, typer.Option(help="Stable name of this drain; one per machine that drains.")
    ] = "drain",
    claim_after_s: Annotated[
        float, typer.Option(min=0, help="Take over what another consumer held for so long.")
    ] = 600.0,
    home: Home = DEFAULT_HOME,
) -> None:
    """Move the events that wait in Redis into the log; `retrain` does so, too."""
    from service.store.connection import connect_blocking
    from training.event_log import drain as drain_once

    with serving_settings(home) as settings:
        client = connect_blocking(str(settings.redis_url))
        try:
            report = drain_once(
                client,
                catalog,
                workspace(home).events / catalog,
                consumer=consumer,
                claim_after_s=claim_after_s,
            )
        finally:
            client.close()
    _print(
        f"catalog {catalog}: {report.num_entries} events in {len(report.segments)} new segments"
        f" ({report.num_claimed} taken over), {report.num_erasures} erasures carried out"
    )


@app.command("export")
def export_log(
    target: Annotated[Path, typer.Argument(help="File to write: .jsonl, .ndjson or .parquet.")],
    catalog: Catalog = "default",
    home: Home = DEFAULT_HOME,
) -> None:
    """Write every event of the log into one file, once each."""
    from training.event_log import export_events

    count = export_events(workspace(home).events / catalog, target)
    _print(f"{target}: {count} events")


@app.command("import")
def import_file(
    source: Annotated[Path, typer.Argument(help="File to read: .jsonl, .ndjson or .parquet.")],
    catalog: Catalog = "default",
    home: Home = DEFAULT_HOME,
) -> None:
    """Add the events of a file to the log; importing it again changes nothing."""
    from training.event_log import import_events

    report = import_events(workspace(home).events / catalog, source)
    _print(
        f"catalog {catalog}: {report.read} read, {report.added} added, {report.known} known already"
        f", {report.erased} of erased users or items"
    )


@app.command()
def verify(catalog: Catalog = "default", home: Home = DEFAULT_HOME) -> None:
    """Read the whole log against its checksums. Exit code 0 sound, 1 damaged."""
    from training.event_log import verify as verify_log

    report = verify_log(workspace(home).events / catalog)
    _print(
        f"catalog {catalog}: {report.num_segments} segments, {report.num_rows} rows,"
        f" {report.num_events} events, {report.num_repeated} repeated,"
        f" {len(report.faults)} damaged segments, {report.num_erased} rows of erased users or"
        f" items, {report.num_drafts} unfinished files"
    )
    for fault in report.faults[:_SHOWN_FAULTS]:
        _print(fault)
    if report.num_erased:
        _print("run `mutualrec events compact` to remove the erased rows")
    if not report.is_sound:
        raise typer.Exit(1)


@app.command()
def compact(catalog: Catalog = "default", home: Home = DEFAULT_HOME) -> None:
    """Make one segment per day and partition of many, and drop repeated events."""
    from training.event_log import compact as compact_log

    report = compact_log(workspace(home).events / catalog)
    _print(
        f"catalog {catalog}: {report.segments_before} segments became {report.segments_after},"
        f" {report.rows_before} rows {report.rows_after}: {report.num_repeated} repeated,"
        f" {report.num_erased} erased; {report.num_drafts} unfinished files removed"
    )


def _print(text: str) -> None:
    Console(soft_wrap=True).print(text, markup=False, highlight=False)

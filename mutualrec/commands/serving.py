"""Commands of the online side: serve, list versions, roll back, retrain."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mutualrec.options import DEFAULT_HOME, Catalog, Home, workspace

if TYPE_CHECKING:
    from service.settings import Settings

commands = typer.Typer()

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on.")]
Workers = Annotated[int | None, typer.Option(help="Processes that answer; they share the vectors.")]


@commands.command()
def serve(
    host: Host = None, port: Port = None, workers: Workers = None, home: Home = DEFAULT_HOME
) -> None:
    """Serve recommendations over HTTP.

    Without MUTUALREC_REDIS_URL a private Valkey server keeps the events under the home folder.
    """
    with serving_settings(home, host=host, port=port, workers=workers) as settings:
        run_server(settings)


@contextmanager
def serving_settings(
    home: Path, *, host: str | None = None, port: int | None = None, workers: int | None = None
) -> Iterator["Settings"]:
    """Yield the service's settings with a Redis URL, of a private server where none is set."""
    from mutualrec.valkey import private_valkey

    settings = load_settings(home, host=host, port=port, workers=workers)
    if settings.redis_url is not None:
        yield settings
        return
    with private_valkey(workspace(home).valkey) as url:
        yield settings.model_copy(update={"redis_url": url})


def load_settings(home: Path, **given: object) -> "Settings":
    """Return the service's settings as the variables and the given options say.

    Raises:
        typer.BadParameter: A setting is not allowed.
    """
    from service.settings import Settings

    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings.load(os.environ, home=home, **chosen)
    except ValueError as error:
        raise typer.BadParameter(f"the service's settings: {_explain(error)}") from error


def _explain(error: ValueError) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)


def run_server(settings: "Settings", announce: str = "") -> None:
    """Run the service until it is told to stop.

    Args:
        settings: The service's settings.
        announce: Printed when the address is taken and the index is known to work.

    Raises:
        CannotListen: The address cannot be used.
        IndexUnavailable: The wanted index cannot run here.
        KeysError: In production there is no API key, or the keys cannot be read.
    """
    from mutualrec.listening import listen
    from mutualrec.workers import run_one, run_several
    from service.access import Keys
    from service.index import check_index

    check_index(settings.index)
    Keys(settings.keys, production=settings.environment == "production").load()
    with listen(settings.host, settings.port) as address:
        if announce:
            Console(soft_wrap=True).print(announce, highlight=False)
        run = run_one if settings.workers == 1 else run_several
        has_started = run(settings, address)
    if not has_started:
        raise typer.Exit(1)  # the log has said why


@commands.command()
def versions(catalog: Catalog = "default", home: Home = DEFAULT_HOME) -> None:
    """List the published versions of a catalog, newest last."""
    from service.artifact import current_version, list_versions, read_manifest
    from service.errors import ArtifactError, ArtifactNotFound

    root = workspace(home).artifacts
    current, known = current_version(root, catalog), list_versions(root, catalog)
    if not known:
        raise ArtifactNotFound(
            f"catalog {catalog!r} was never published under {root}; "
            "publish one with `mutualrec publish`"
        )
    table = Table()
    table.add_column("version", no_wrap=True)
    for name in ("current", "ensemble", "members", "val recall@20", "test recall@20"):
        table.add_column(name)
    for version in known:
        marked = "yes" if version == current else ""
        try:
            manifest = read_manifest(root, catalog, version)
        except ArtifactError:
            table.add_row(version, marked, "damaged", "", "-", "-")
            continue
        metrics = [
            manifest.metrics.get(split, {}).get("recall@20") for split in ("validation", "test")
        ]
        table.add_row(
            version,
            marked,
            manifest.ensemble,
            ", ".join(member.model for member in manifest.members),
            *(f"{value:.4f}" if isinstance(value, float) else "-" for value in metrics),
        )
    Console(soft_wrap=True).print(table)


@commands.command()
def rollback(
    version: Annotated[
        str | None, typer.Argument(help="Version to go to; the one before the current if none.")
    ] = None,
    catalog: Catalog = "default",
    home: Home = DEFAULT_HOME,
) -> None:
    """Make an older version current again; running services swap to it."""
    from service.artifact import current_version, load_artifact, previous_version, set_current
    from service.errors import ArtifactError

    root = workspace(home).artifacts
    target = version or previous_version(root, catalog)
    # A version that does not load must not become current.
    load_artifact(root, catalog, target)
    try:
        before = current_version(root, catalog) or "none"
    except ArtifactError:
        before = "damaged"  # going to a named version is how that is repaired
    set_current(root, catalog, target)
    Console(soft_wrap=True).print(f"catalog {catalog}: {before} -> {target}")


@commands.command()
def retrain(catalog: Catalog = "default", home: Home = DEFAULT_HOME) -> None:
    """Drain new events, train on them, publish. Exit code 0 promoted, 10 nothing new, 1 error."""
    from redis import Redis

    from mutualrec.progress import training_progress
    from training.retrain import retrain as retrain_once

    folders = workspace(home)
    with serving_settings(home) as settings:
        client = Redis.from_url(str(settings.redis_url))
        try:
            outcome = retrain_once(
                catalog,
                client,
                artifacts=folders.artifacts,
                events=folders.events,
                workspace=folders.retraining(catalog),
                cache=folders.cache,
                progress=training_progress,
            )
        finally:
            client.close()
    console = Console(soft_wrap=True)
    if outcome.version is None:
        console.print(f"catalog {catalog}: no new events, nothing to do")
        raise typer.Exit(10)
    console.print(
        f"catalog {catalog}: {outcome.num_events} events in the log, "
        f"version {outcome.version} is current"
    )

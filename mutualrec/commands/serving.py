"""Commands of the online side: serve, retrain."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mutualrec.announcing import announce
from mutualrec.lifting import lift_marks
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
        TracingUnavailable: Traces are wanted and cannot be made.
        EncoderUnavailable: The encoder of texts cannot be used.
    """
    from mutualrec.workers.environment import choose_kernels, variables_of_workers

    choose_kernels()  # before anything imports what reads it
    if settings.workers == 1:
        _run(settings, announce)
    else:
        with variables_of_workers():  # likewise
            _run(settings, announce)


def _run(settings: "Settings", announce: str) -> None:
    from mutualrec.listening import listen
    from mutualrec.workers.one import run_one
    from mutualrec.workers.several import check_encoder, run_several
    from service.access import Keys
    from service.encoding.encoder import TextEncoder
    from service.index import check_index
    from service.tracing import check_tracing

    check_index(settings.index)
    check_tracing(settings)
    if settings.text_encoder is not None:
        # Workers load it themselves; what is wrong with it is told here, once.
        check = TextEncoder.load if settings.workers == 1 else check_encoder
        check(settings.text_encoder)
    Keys(settings.keys, production=settings.environment == "production").load()
    with listen(settings.host, settings.port) as address:
        if announce:
            Console(soft_wrap=True).print(announce, highlight=False)
        run = run_one if settings.workers == 1 else run_several
        has_started = run(settings, address)
    if not has_started:
        raise typer.Exit(1)  # the log has said why


@commands.command()
def retrain(
    catalog: Catalog = "default",
    force: Annotated[
        bool, typer.Option("--force", help="Publish a candidate that the gate refuses.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Train anew, not from the current parameters.")
    ] = False,
    gate: Annotated[
        list[str] | None, typer.Option(help="Limit of the gate name=value; repeatable.")
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Drain new events, train on them, publish what came out unless it is worse.

    Exit code 0 promoted, 10 nothing new, 20 the gate refused, 30 kept because of a pin, 1 error.
    """
    from mutualrec.as_served import AsServed
    from mutualrec.progress import training_progress
    from mutualrec.retraining.leased import Judged, leased, while_held
    from mutualrec.retraining.outcome import (
        describe,
        describe_step,
        exit_code,
        judgement_of,
        policy_of,
    )
    from service.store.connection import connect_blocking
    from training.retrain import retrain as retrain_once

    folders = workspace(home)
    console = Console(soft_wrap=True, highlight=False)
    with serving_settings(home) as settings:
        policy = policy_of(settings, limits=gate or [], force=force, full=full)
        with leased(settings, catalog) as lease:
            client = connect_blocking(str(settings.redis_url))
            try:
                outcome = retrain_once(
                    catalog,
                    client,
                    artifacts=folders.artifacts,
                    events=folders.events,
                    workspace=folders.retraining(catalog),
                    cache=folders.cache,
                    progress=while_held(lease, training_progress),
                    serve=AsServed,
                    policy=policy,
                    fence=lease.fence,
                    announce=lambda step: console.print(describe_step(step)),
                )
            finally:
                client.close()
            if outcome.version is not None:
                announce(home, catalog)
                lift_marks(home, catalog)
            console.print(describe(catalog, outcome))
            # Within the lease, which records how it ended.
            raise Judged(exit_code(outcome), judgement_of(outcome))

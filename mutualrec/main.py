"""Entry point of the `mutualrec` command."""

import logging
import sys
from importlib import import_module
from typing import NoReturn

import typer
from rich.console import Console

from mutualrec import __version__
from mutualrec.commands import (
    benchmarking,
    capacity,
    demo,
    doctor,
    encoding,
    events,
    forgetting,
    funds,
    importing,
    keys,
    scheduling,
    serving,
    training,
    versions,
)
from mutualrec.stopping import stopping_in_order

logger = logging.getLogger(__name__)

app = typer.Typer(
    help="Train multimodal recommenders, publish them, serve them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(events.app, name="events")
app.add_typer(forgetting.users, name="users")
app.add_typer(forgetting.items, name="items")
app.add_typer(importing.app, name="import")
app.add_typer(keys.app, name="keys")
app.add_typer(versions.app, name="versions")
app.add_typer(funds.app, name="funds")
for group in (
    demo.commands,
    encoding.commands,
    training.commands,
    benchmarking.commands,
    serving.commands,
    scheduling.commands,
    doctor.commands,
    capacity.commands,
    versions.commands,
):
    app.registered_commands.extend(group.registered_commands)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mutualrec {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(  # noqa: ARG001  # handled by its callback
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log what is being done."),
) -> None:
    """Train multimodal recommenders, publish them, serve them."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s %(message)s",
    )


def expected_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that carry a message for the user; anything else is a defect."""
    training_errors = import_module("training.errors")
    service_errors = import_module("service.errors")
    valkey = import_module("mutualrec.valkey")
    return (
        training_errors.DataError,
        training_errors.TrainingDiverged,
        training_errors.RetrainingBusy,
        training_errors.QualityGateFailed,
        training_errors.NotServable,
        training_errors.UnknownModel,
        training_errors.UnknownStrategy,
        training_errors.InvalidParams,
        service_errors.ArtifactError,
        service_errors.ServiceError,
        service_errors.IndexUnavailable,
        service_errors.KeysError,
        service_errors.TracingUnavailable,
        service_errors.EncoderUnavailable,
        valkey.PrivateValkeyError,
        import_module("mutualrec.workspace").WorkspaceNameInvalid,
        import_module("mutualrec.listening").CannotListen,
        import_module("mutualrec.retraining.cron").CronInvalid,
    )


def run() -> None:
    """Run the command line; an expected error is one line on standard error and exit code 1.

    Being told to stop (SIGTERM, SIGHUP) ends it as Ctrl-C does: in order, so that a private Valkey
    server does not outlive it.
    """
    with stopping_in_order():
        _run()


def _run() -> None:
    console = Console(stderr=True, soft_wrap=True)
    try:
        app(prog_name="mutualrec")
    except ModuleNotFoundError as error:
        extra = _extra_of(error.name or "")
        if extra is None:
            raise
        _fail(console, f'{error.name} is not installed; install it with pip install ".[{extra}]"')
    except expected_errors() as error:
        _fail(console, str(error))
    except import_module("redis.exceptions").RedisError as error:
        _fail(console, f"Redis: {error}; check that it runs and what MUTUALREC_REDIS_URL names")
    except OSError as error:
        # Only what the machine refused for a named file; any other one is a defect.
        if error.filename is None:
            raise
        _fail(
            console,
            f"{error.filename}: {error.strerror}; name a folder that exists and can be written "
            "(--home for the workspace), and check the space left on its disk",
        )
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(console: Console, message: str) -> NoReturn:
    logger.debug("the command failed", exc_info=True)
    console.print(f"error: {message}", style="red", markup=False, highlight=False)
    sys.exit(1)


def _extra_of(module: str) -> str | None:
    extras = {
        "training": ("torch", "torch_geometric", "apscheduler", "polars", "matplotlib", "scipy"),
        "service": ("fastapi", "uvicorn", "faiss", "orjson", "prometheus_client"),
    }
    root = module.split(".")[0]
    return next((extra for extra, modules in extras.items() if root in modules), None)


if __name__ == "__main__":
    run()

"""Entry point of the `mutualrec` command."""

import logging
import sys
from importlib import import_module

import typer
from rich.console import Console

from mutualrec import __version__
from mutualrec.commands import demo, importing, serving, training

app = typer.Typer(
    help="Train multimodal recommenders, publish them, serve them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(importing.app, name="import")
for group in (demo.commands, training.commands, serving.commands):
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
    redis_errors = import_module("redis.exceptions")
    valkey = import_module("mutualrec.valkey")
    return (
        training_errors.DataError,
        training_errors.TrainingDiverged,
        training_errors.QualityGateFailed,
        training_errors.NotServable,
        training_errors.UnknownModel,
        training_errors.InvalidParams,
        service_errors.ArtifactError,
        service_errors.ServiceError,
        service_errors.IndexUnavailable,
        redis_errors.RedisError,
        valkey.PrivateValkeyError,
    )


def run() -> None:
    """Run the command line; an expected error is one line on standard error and exit code 1."""
    console = Console(stderr=True, soft_wrap=True)
    try:
        app()
    except ModuleNotFoundError as error:
        extra = _extra_of(error.name or "")
        if extra is None:
            raise
        console.print(
            f'error: {error.name} is not installed; install it with pip install ".[{extra}]"',
            style="red",
            markup=False,
        )
        sys.exit(1)
    except expected_errors() as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _extra_of(module: str) -> str | None:
    extras = {
        "training": ("torch", "torch_geometric", "polars", "matplotlib", "scipy"),
        "service": ("fastapi", "uvicorn", "faiss", "orjson", "prometheus_client"),
    }
    root = module.split(".")[0]
    return next((extra for extra, modules in extras.items() if root in modules), None)


if __name__ == "__main__":
    run()

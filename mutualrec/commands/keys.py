"""Commands that create, rotate and revoke the API keys of the service."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mutualrec.options import DEFAULT_HOME, Home

if TYPE_CHECKING:
    from service.keys import StoredKey

app = typer.Typer(
    no_args_is_help=True, help="Create, rotate and revoke the API keys of the service."
)


class ScopeName(str, Enum):  # noqa: UP042  # the members' text is what is typed
    """What a key may do."""

    read = "read"
    write = "write"
    admin = "admin"


Name = Annotated[str, typer.Argument(help="Name of the key; logs show it, so no secret.")]
Scopes = Annotated[
    list[ScopeName],
    typer.Option("--scope", help="What the key may do; admin may do all. Repeat for several."),
]
Limit = Annotated[
    int | None,
    typer.Option(min=1, help="Requests per window instead of MUTUALREC_RATE_LIMIT."),
]


@app.command()
def create(name: Name, scope: Scopes, limit: Limit = None, home: Home = DEFAULT_HOME) -> None:
    """Create a key and print it; it is stored hashed, so it cannot be shown again."""
    from service.keys import create_key

    _show_secret(create_key(_file(home), name, [given.value for given in scope], limit))


@app.command()
def rotate(name: Name, home: Home = DEFAULT_HOME) -> None:
    """Print a new secret for a key; the one before stays valid until it is retired."""
    from service.keys import rotate_key

    _show_secret(rotate_key(_file(home), name))
    Console(stderr=True, soft_wrap=True).print(
        f"the secret before is still valid; when no client uses it: mutualrec keys retire {name}",
        markup=False,
        highlight=False,
    )


@app.command()
def retire(name: Name, home: Home = DEFAULT_HOME) -> None:
    """Make the secrets of a key invalid except the newest."""
    from service.keys import retire_secret

    count = retire_secret(_file(home), name)
    typer.echo(f"{name}: {count} retired")


@app.command()
def revoke(name: Name, home: Home = DEFAULT_HOME) -> None:
    """Remove a key with all its secrets."""
    from service.keys import revoke_key

    revoke_key(_file(home), name)
    typer.echo(f"{name}: revoked")


@app.command("list")
def list_keys(home: Home = DEFAULT_HOME) -> None:
    """List the keys, never their secrets."""
    from service.keys import read_keys

    stored = read_keys(_file(home))
    table = Table()
    for column in ("name", "scopes", "limit", "secrets", "newest"):
        table.add_column(column, no_wrap=True)
    for key in stored.keys if stored else ():
        table.add_row(*_row(key))
    Console(soft_wrap=True).print(table)


def _row(key: "StoredKey") -> tuple[str, ...]:
    newest = max(secret.created_at for secret in key.secrets)
    limit = "-" if key.limit is None else str(key.limit)
    return (
        key.name,
        ", ".join(key.scopes),
        limit,
        str(len(key.secrets)),
        f"{newest:%Y-%m-%d %H:%M} UTC",
    )


def _file(home: Path) -> Path:
    from mutualrec.commands.serving import load_settings

    return load_settings(home).keys


def _show_secret(token: str) -> None:
    Console(stderr=True, soft_wrap=True).print("keep this key; it is shown only once:")
    typer.echo(token)

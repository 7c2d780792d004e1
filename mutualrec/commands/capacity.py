"""`mutualrec capacity`: how much memory an installation will need."""

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mutualrec.commands.serving import load_settings
from mutualrec.options import DEFAULT_HOME, Home

commands = typer.Typer()


@commands.command()
def capacity(
    users: Annotated[int, typer.Option(min=1, help="Users of a version.")],
    items: Annotated[int, typer.Option(min=1, help="Items of a version.")],
    events_per_day: Annotated[int, typer.Option(min=0, help="Events that come in.")],
    width: Annotated[int, typer.Option(min=1, help="Columns of all members together.")] = 192,
    active_users: Annotated[
        int | None, typer.Option(min=0, help="Users with a history [default: all].")
    ] = None,
    items_per_history: Annotated[
        int, typer.Option(min=0, help="Items in a history, on average.")
    ] = 50,
    drain_every_s: Annotated[
        int, typer.Option(min=1, help="Seconds between two retrainings, which drain.")
    ] = 86_400,
    home: Home = DEFAULT_HOME,
) -> None:
    """Estimate the memory of Redis and of the service, from measured bytes per part."""
    from service.capacity import Load, estimate

    settings = load_settings(home)
    needed = estimate(
        Load(
            num_users=users,
            num_items=items,
            width=width,
            events_per_day=events_per_day,
            active_users=users if active_users is None else active_users,
            items_per_history=min(items_per_history, settings.history_cap),
            drain_every_s=drain_every_s,
            dedupe_ttl_s=settings.dedupe_ttl_s,
            workers=settings.workers,
        )
    )
    table = Table("where", "what", "MiB")
    _add(table, "Redis", needed.redis)
    _add(table, "service, once", needed.once)
    _add(table, "service, per version", needed.shared)
    _add(table, "service, per worker", needed.per_worker)
    table.add_section()
    table.add_row("Redis", "all", _mib(needed.redis_bytes))
    table.add_row(
        "service", f"{needed.workers} workers, two versions in a swap", _mib(needed.service_bytes)
    )
    Console(soft_wrap=True).print(table)


def _add(table: Table, where: str, parts: Mapping[str, int]) -> None:
    for what, size_bytes in parts.items():
        table.add_row(where, what, _mib(size_bytes))


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f}"

"""Commands on what is known of users and items: export, erase, check."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer
from rich.console import Console

from mutualrec.commands.serving import serving_settings
from mutualrec.options import DEFAULT_HOME, Catalog, Home, workspace

if TYPE_CHECKING:
    from service.erasure.marks import Mark
    from service.erasure.users import Erasure
    from service.settings import Settings
    from service.store.client import EventStore

users = typer.Typer(help="Export what is known of a user, and forget it.", no_args_is_help=True)
items = typer.Typer(help="Forget an item.", no_args_is_help=True)

_T = TypeVar("_T")
_TIMEOUT_S = 10.0

UserId = Annotated[str, typer.Argument(help="Id of the user.")]
ItemId = Annotated[str, typer.Argument(help="Id of the item.")]
Check = Annotated[
    bool, typer.Option("--check", help="Only look where it is still known; exit code 1 if it is.")
]


@users.command("export")
def export_user(user_id: UserId, catalog: Catalog = "default", home: Home = DEFAULT_HOME) -> None:
    """Print what Redis and the event log hold of a user, and which versions know them, as JSON."""
    from service.erasure.places import versions_knowing
    from training.event_log import events_of

    folders = workspace(home)

    async def read(erasure: "Erasure", _: "EventStore") -> dict[str, object]:
        history = await erasure.history(catalog, user_id)
        waiting = await erasure.waiting_events(catalog, user_id)
        return {
            "history": [entry.model_dump() for entry in history],
            "waiting_events": [event.model_dump() for event in waiting],
        }

    with serving_settings(home) as settings:
        found = _with_erasure(settings, read)
    content = {
        "user_id": user_id,
        "catalog": catalog,
        **found,
        "logged_events": list(events_of(folders.events / catalog, user_id)),
        "versions": versions_knowing(folders.artifacts, catalog, "user", user_id),
    }
    typer.echo(json.dumps(content, ensure_ascii=False, indent=2))


@users.command("erase")
def erase_user(
    user_id: UserId, check: Check = False, catalog: Catalog = "default", home: Home = DEFAULT_HOME
) -> None:
    """Forget a user: history, waiting events, event log; the next retraining does not see them."""

    async def erase(erasure: "Erasure", _: "EventStore") -> None:
        await erasure.erase_user(catalog, user_id)

    async def look(erasure: "Erasure", _: "EventStore") -> dict[str, int]:
        history = await erasure.history(catalog, user_id)
        return {
            "history in Redis": len(history),
            "waiting events in Redis": len(await erasure.waiting_events(catalog, user_id)),
        }

    _erase_and_look("user", user_id, catalog, home, None if check else erase, look)


@items.command("erase")
def erase_item(
    item_id: ItemId, check: Check = False, catalog: Catalog = "default", home: Home = DEFAULT_HOME
) -> None:
    """Forget an item: lists, histories, sessions, waiting events, event log, next training."""

    async def erase(erasure: "Erasure", store: "EventStore") -> None:
        await _delete_item(store, catalog, item_id)
        await erasure.erase_item(catalog, item_id)

    async def look(erasure: "Erasure", _: "EventStore") -> dict[str, int]:
        found = await erasure.traces_of_item(catalog, item_id)
        return {
            "histories in Redis": found.history,
            "events of sessions in Redis": found.sessions,
            "waiting events in Redis": found.waiting_events,
        }

    _erase_and_look("item", item_id, catalog, home, None if check else erase, look)


async def _delete_item(store: "EventStore", catalog: str, item_id: str) -> None:
    """Takes the item out of all lists, with whatever was said of it."""
    from service.item_change import ItemChange
    from service.store.items import ItemStore

    items_store = ItemStore(store)
    while True:
        old = await items_store.read(catalog, item_id)
        number = 0 if old is None else old.number
        if await items_store.write(catalog, ItemChange(item_id, number, deleted=True)):
            return


def _erase_and_look(
    kind: Literal["user", "item"],
    identifier: str,
    catalog: str,
    home: Path,
    erase: "Callable[[Erasure, EventStore], Awaitable[None]] | None",
    look: "Callable[[Erasure, EventStore], Awaitable[Mapping[str, int]]]",
) -> None:
    from service.erasure.places import versions_knowing
    from service.store.connection import connect_blocking
    from training.event_log import forget_waiting, traces

    folders = workspace(home)
    log = folders.events / catalog
    with serving_settings(home) as settings:
        if erase is not None:
            _with_erasure(settings, erase)
            client = connect_blocking(str(settings.redis_url))
            try:
                forget_waiting(client, catalog, log)
            finally:
                client.close()
        found = {**_with_erasure(settings, look)}
        mark = _with_erasure(settings, partial(_mark, catalog, identifier))
    found["rows of the event log"] = traces(log, kind, identifier)
    console = Console(soft_wrap=True)
    for place, count in found.items():
        console.print(f"{place}: {count}", markup=False, highlight=False)
    versions = versions_knowing(folders.artifacts, catalog, kind, identifier)
    for text in _told_of(folders.artifacts, catalog, kind, versions, mark):
        console.print(text, markup=False, highlight=False)
    if any(found.values()) or (versions and erase is None):
        raise typer.Exit(1)


def _told_of(
    root: Path, catalog: str, kind: str, versions: Sequence[str], mark: "Mark | None"
) -> Iterator[str]:
    """What is said of the versions that know a user or an item."""
    from service.artifact import read_manifest
    from service.erasure.marks import Carried

    retrain = "run `mutualrec retrain`, then `mutualrec versions prune`"
    if kind == "item" and versions:
        yield f"{len(versions)} versions still know the item: {', '.join(versions)}; {retrain}"
        return
    hidden = [
        version
        for version in versions
        if mark is not None and mark not in Carried(read_manifest(root, catalog, version))
    ]
    if hidden:
        yield (
            f"{len(hidden)} versions still hold what they learned of the user before the erasure,"
            f" and no service uses it: {', '.join(hidden)}; {retrain}"
        )
    served = [version for version in versions if version not in hidden]
    if served:
        since = "what came after the erasure" if mark is not None else "their events"
        yield (
            f"{len(served)} versions know the user by {since}, and services use it:"
            f" {', '.join(served)}"
        )


async def _mark(catalog: str, user_id: str, _: "Erasure", store: "EventStore") -> "Mark | None":
    from service.erasure.marks import MarkStore
    from service.events import digest_of

    return (await MarkStore(store).read(catalog)).marks.get(digest_of(user_id))


def _with_erasure(
    settings: "Settings", work: "Callable[[Erasure, EventStore], Awaitable[_T]]"
) -> _T:
    from service.erasure.users import Erasure
    from service.store.client import EventStore

    patient = settings.model_copy(update={"redis_timeout_s": _TIMEOUT_S})

    async def main() -> _T:
        store = EventStore(str(settings.redis_url), patient)
        try:
            return await work(Erasure(store), store)
        finally:
            await store.close()

    return asyncio.run(main())

"""Commands on the versions of a catalog: list, compare, promote, roll back, pin, prune."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mutualrec.announcing import announce
from mutualrec.lifting import lift_marks
from mutualrec.options import DEFAULT_HOME, Catalog, Home, workspace

if TYPE_CHECKING:
    from service.artifact import Change, ListedVersion, ManifestModel
    from service.settings import Settings

_TIMEOUT_S = 5.0

app = typer.Typer(help="List, compare, promote, pin and prune the versions of a catalog.")
commands = typer.Typer()

Version = Annotated[str, typer.Argument(help="Version, as `mutualrec versions` shows it.")]


@app.callback(invoke_without_command=True)
def versions(
    context: typer.Context, catalog: Catalog = "default", home: Home = DEFAULT_HOME
) -> None:
    """List, compare, promote, pin and prune the versions of a catalog; alone, list them."""
    if context.invoked_subcommand is None:
        list_versions(catalog, home)


@app.command("list")
def list_versions(catalog: Catalog = "default", home: Home = DEFAULT_HOME) -> None:
    """List the versions of a catalog, newest last, refused ones with the reason."""
    from service.artifact import describe_versions

    listed = describe_versions(workspace(home).artifacts, catalog)
    table = Table()
    table.add_column("version", no_wrap=True)
    for name in ("state", "ensemble", "members", "val recall@20", "ndcg@20 on holdout", "gate"):
        table.add_column(name)
    for one in listed:
        table.add_row(one.version, _state(one), *_content(one))
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    for one in listed:
        for reason in () if one.manifest is None else _reasons(one.manifest):
            console.print(f"{one.version}: {reason}", markup=False)


@app.command()
def diff(
    old: Version,
    new: Annotated[
        str | None, typer.Argument(help="Version to compare with; the current one if none.")
    ] = None,
    catalog: Catalog = "default",
    home: Home = DEFAULT_HOME,
) -> None:
    """Show in which metrics, data and settings a version differs from another."""
    from service.artifact import compare_versions, current_version

    root = workspace(home).artifacts
    found = compare_versions(root, catalog, old, new or current_version(root, catalog) or old)
    console = Console(soft_wrap=True)
    kinds = {"metrics": found.metrics, "data": found.data, "settings": found.settings}
    for kind, changes in kinds.items():
        if changes:
            console.print(_difference(kind, found.old, found.new, changes))
        else:
            console.print(f"{kind}: no difference")


@app.command()
def promote(version: Version, catalog: Catalog = "default", home: Home = DEFAULT_HOME) -> None:
    """Make a version current, a refused one too; running services swap to it."""
    _promote(home, catalog, version)


@commands.command()
def rollback(
    version: Annotated[
        str | None, typer.Argument(help="Version to go to; the one before the current if none.")
    ] = None,
    catalog: Catalog = "default",
    home: Home = DEFAULT_HOME,
) -> None:
    """Make an older version current again; running services swap to it."""
    from service.artifact import previous_version

    _promote(home, catalog, version or previous_version(workspace(home).artifacts, catalog))


@app.command()
def pin(
    version: Annotated[
        str | None, typer.Argument(help="Version to stay at; the current one if none.")
    ] = None,
    catalog: Catalog = "default",
    home: Home = DEFAULT_HOME,
) -> None:
    """Make a version current and keep it so: no retraining replaces it until `unpin`."""
    from service.artifact import current_version, load_artifact
    from service.artifact import pin as pin_version
    from service.errors import ArtifactNotFound

    root = workspace(home).artifacts
    target = version or current_version(root, catalog)
    if target is None:
        raise ArtifactNotFound(f"catalog {catalog!r} has no version to pin under {root}")
    load_artifact(root, catalog, target)
    pin_version(root, catalog, target)
    announce(home, catalog)
    _say(f"catalog {catalog}: pinned to {target}")


@app.command()
def unpin(catalog: Catalog = "default", home: Home = DEFAULT_HOME) -> None:
    """Let retrainings replace the current version again."""
    from service.artifact import unpin as unpin_catalog

    before = unpin_catalog(workspace(home).artifacts, catalog)
    _say(f"catalog {catalog}: " + (f"unpinned from {before}" if before else "was not pinned"))


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest stay.")] = 10,
    older_than_days: Annotated[
        float, typer.Option(min=0, help="Younger versions stay as well.")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    catalog: Catalog = "default",
    home: Home = DEFAULT_HOME,
) -> None:
    """Delete old versions; the current, the pinned and the one before always stay.

    So does a version that an arm of a running experiment serves.
    """
    from mutualrec.commands.serving import serving_settings
    from service.artifact import prune_versions

    with serving_settings(home) as settings:
        pruned = prune_versions(
            workspace(home).artifacts,
            catalog,
            keep=keep,
            older_than=timedelta(days=older_than_days),
            needed=_needed(settings, catalog),
            dry_run=dry_run,
        )
        if pruned.deleted and not dry_run:
            lift_marks(home, catalog)
    verb = "would delete" if dry_run else "deleted"
    lines = [f"{verb} {version}" for version in pruned.deleted]
    lines += [f"kept {version}: {reason}" for version, reason in pruned.kept.items()]
    _say("\n".join(lines) or "nothing to delete")


def _needed(settings: "Settings", catalog: str) -> dict[str, str]:
    """The versions that running experiments serve; Redis must reply, or one might be deleted."""
    from service.experiments.store import ExperimentStore
    from service.store.client import EventStore

    patient = settings.model_copy(update={"redis_timeout_s": _TIMEOUT_S})

    async def main() -> dict[str, str]:
        store = EventStore(str(settings.redis_url), patient)
        try:
            return await ExperimentStore(store).versions_needed(catalog)
        finally:
            await store.close()

    return asyncio.run(main())


def _promote(home: Path, catalog: str, version: str) -> None:
    from service.artifact import load_artifact
    from service.artifact import promote as promote_version

    root = workspace(home).artifacts
    load_artifact(root, catalog, version)  # one that does not load must not become current
    before = promote_version(root, catalog, version)
    announce(home, catalog)
    _say(f"catalog {catalog}: {before or 'none or damaged'} -> {version}")


def _state(listed: "ListedVersion") -> str:
    return f"{listed.state}, pinned" if listed.pinned else listed.state


def _content(listed: "ListedVersion") -> list[str]:
    manifest = listed.manifest
    if manifest is None:
        return ["", "", "-", "-", ""]
    validation = manifest.metrics.get("validation", {}).get("recall@20")
    return [
        manifest.ensemble,
        ", ".join(member.model for member in manifest.members),
        f"{validation:.4f}" if isinstance(validation, float) else "-",
        *_verdict(manifest),
    ]


def _verdict(manifest: "ManifestModel") -> tuple[str, str]:
    """The change against the champion of then, and what the gate said."""
    gate = manifest.gate
    if gate is None:
        return "-", ""
    change = next((check.value for check in gate.checks if check.name == "ndcg@20"), None)
    said = "forced" if gate.forced else "refused" if gate.refused else "passed"
    return "-" if change is None else f"{change:+.4f}", said


def _reasons(manifest: "ManifestModel") -> tuple[str, ...]:
    return () if manifest.gate is None else manifest.gate.reasons


def _difference(kind: str, old: str, new: str, changes: "tuple[Change, ...]") -> Table:
    table = Table("value", old, new, title=kind)
    for change in changes:
        table.add_row(change.name, _shown(change.old), _shown(change.new))
    return table


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _say(text: str) -> None:
    Console(soft_wrap=True).print(text, markup=False, highlight=False)

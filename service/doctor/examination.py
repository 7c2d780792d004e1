"""All checks in one order."""

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.artifact import current_version, list_catalogs, load_artifact
from service.doctor.finding import Finding
from service.doctor.machine import check_disk, check_machine, check_threads, usable_cpus
from service.doctor.servers import check_servers
from service.doctor.text_encoder import check_encoder
from service.errors import ArtifactError, KeysInvalid
from service.keys import read_keys
from service.settings import Settings

_TIMEOUT_S = 5.0
_LOOPBACK = ("127.", "localhost", "::1")


def examine(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Looks at everything a service with these settings needs.

    Args:
        settings: the service's, with the URL of the Redis server if there is one.
        environ: the variables the service will run with.
    """
    yield check_threads(environ)
    yield from check_machine(settings.index, settings.workers, usable_cpus())
    catalogs = sorted({settings.default_catalog, *list_catalogs(settings.artifacts)})
    if settings.redis_url is None:
        yield Finding(
            "redis", "error", "no Redis URL is set: events are refused", "set MUTUALREC_REDIS_URL"
        )
    else:
        yield from check_servers(settings.redis_url, catalogs, timeout_s=_TIMEOUT_S)
    for catalog in catalogs:
        yield check_artifact(settings.artifacts, catalog)
    yield check_encoder(settings, catalogs)
    yield check_disk(settings.home, settings.artifacts)
    yield check_keys(settings)


def check_artifact(root: Path, catalog: str) -> Finding:
    """Whether a catalog's current version is whole."""
    check = f"catalog {catalog}"
    try:
        version = current_version(root, catalog)
        if version is None:
            return Finding(
                check,
                "error",
                f"nothing is published under {root}",
                "train and publish with `mutualrec train` and `mutualrec publish`, or set"
                " MUTUALREC_HOME to where that was done",
            )
        artifact = load_artifact(root, catalog, version)
    except ArtifactError as error:
        return Finding(
            check, "error", str(error), f"go back with `mutualrec rollback --catalog {catalog}`"
        )
    size = f"{len(artifact.user_ids):,} users, {len(artifact.item_ids):,} items"
    return Finding(check, "ok", f"version {version} is whole: {size}")


def check_keys(settings: Settings) -> Finding:
    """Whether only those who should get in."""
    check, path = "API keys", settings.keys
    create = "create one with `mutualrec keys create NAME --scope read --scope write`"
    try:
        stored = read_keys(path)
    except KeysInvalid as error:
        return Finding(check, "error", str(error), "restore the file, or delete it and start anew")
    if stored is None or not stored.keys:
        if settings.environment == "production":
            return Finding(check, "error", f"{path} holds none; production needs one", create)
        if stored is None and not settings.host.startswith(_LOOPBACK):
            return Finding(
                check, "warning", f"everybody who reaches {settings.host} gets in", create
            )
        says = "none: everybody on this machine gets in" if stored is None else "none is valid"
        return Finding(check, "ok", says)
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return Finding(check, "warning", f"others may write {path}", f"chmod 600 {path}")
    return Finding(check, "ok", f"{len(stored.keys)} in {path}")

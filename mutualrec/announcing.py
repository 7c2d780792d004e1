"""Telling running services at once that a catalog's current version was moved."""

import logging
from pathlib import Path

from mutualrec.options import workspace

logger = logging.getLogger(__name__)

_TIMEOUT_S = 1.0


def announce(home: Path, catalog: str) -> None:
    """Tell every service that listens; without Redis they find the version by polling.

    Args:
        home: The workspace, whose private Valkey server is told if it runs and no URL is set.
        catalog: The catalog whose CURRENT was moved.
    """
    from redis.exceptions import RedisError

    from mutualrec.commands.serving import load_settings
    from mutualrec.valkey import running_valkey
    from service.artifact import VERSIONS_CHANNEL
    from service.store.connection import connect_blocking

    url = load_settings(home).redis_url or running_valkey(workspace(home).valkey)
    if url is None:
        return
    try:
        with connect_blocking(url, timeout_s=_TIMEOUT_S) as client:
            client.publish(VERSIONS_CHANNEL, catalog)
    except RedisError as error:
        logger.warning("the services will find the version by polling: %s", error)

"""Hearing at once that CURRENT was moved somewhere in the fleet, and telling the others."""

import asyncio
import logging

from redis.exceptions import RedisError

from service.catalogs import Catalogs
from service.errors import StoreUnavailable
from service.store.client import EventStore
from service.versions import VERSIONS_CHANNEL

logger = logging.getLogger(__name__)

_LISTEN_S = 1.0


class VersionFollower:
    """Refreshes this worker's catalogs when any process says that it moved one.

    What is said while Redis does not answer is lost; the catalogs are polled as well.
    """

    def __init__(self, catalogs: Catalogs, store: EventStore) -> None:
        """Connects to nothing yet."""
        self._catalogs = catalogs
        self._store = store
        self._stopped = False

    async def announce(self, catalog: str) -> None:
        """Tells every service that a catalog's CURRENT was moved, if Redis answers."""
        try:
            await self._store.execute(lambda redis: redis.publish(VERSIONS_CHANNEL, catalog))
        except StoreUnavailable as error:
            logger.warning("the others will find the version by polling: %s", error.detail)

    def stop(self) -> None:
        """Ends `follow` within a second."""
        self._stopped = True

    async def follow(self, retry_s: float) -> None:
        """Listens until it is stopped; without Redis it tries again after `retry_s` seconds."""
        while not self._stopped:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                logger.debug("not listening for versions: %s", error)
                await asyncio.sleep(retry_s)

    async def _listen(self) -> None:
        async with self._store.listening() as subscription:
            await subscription.subscribe(VERSIONS_CHANNEL)
            while not self._stopped:
                message = await subscription.get_message(timeout=_LISTEN_S)
                # The confirmation counts too: CURRENT may have moved before it.
                if message is not None:
                    await self._refresh()

    async def _refresh(self) -> None:
        try:
            await asyncio.to_thread(self._catalogs.refresh)
        except Exception:
            # The snapshots in use are whole, and what is said next must be heard.
            logger.exception("refreshing the catalogs failed")

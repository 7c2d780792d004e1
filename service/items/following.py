"""Keeping the served catalogs up with the changes of items in Redis."""

import asyncio
import logging

from service.catalogs import Catalogs
from service.errors import StoreUnavailable
from service.store.items import ItemStore

logger = logging.getLogger(__name__)


class ItemFollower:
    """Applies to this worker's catalogs what any worker wrote."""

    def __init__(self, catalogs: Catalogs, items: ItemStore) -> None:
        """Reads nothing yet."""
        self._catalogs = catalogs
        self._items = items
        self._numbers: dict[str, int] = {}
        self._following = asyncio.Lock()
        self._stopped = False

    async def catch_up(self, catalog: str) -> None:
        """Applies every change made so far.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        async with self._following:
            news = await self._items.news(catalog, self._numbers.get(catalog, 0))
            if news.changes or news.restarted:
                await asyncio.to_thread(
                    self._catalogs.change_items, catalog, news.changes, anew=news.restarted
                )
                logger.info("items changed catalog=%s items=%d", catalog, len(news.changes))
            self._numbers[catalog] = news.number

    def stop(self) -> None:
        """Ends `poll` after its round: a cancellation can get lost in a client's time limit."""
        self._stopped = True

    async def poll(self, interval_s: float) -> None:
        """Catches up until it is stopped."""
        while True:
            for catalog in self._catalogs.names:
                try:
                    await self.catch_up(catalog)
                except StoreUnavailable:
                    break  # The next round asks again; what is known goes on being served.
                except Exception:
                    # One item that cannot be understood must not end the following of others.
                    logger.exception("following the items of catalog=%s failed", catalog)
            if self._stopped:
                return
            await asyncio.sleep(interval_s)

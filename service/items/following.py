"""Keeping the served catalogs up with the changes of items in Redis."""

import asyncio
import logging

from service.catalogs import Catalogs
from service.following import Follower
from service.store.items import ItemStore

logger = logging.getLogger(__name__)


class ItemFollower(Follower):
    """Applies to this worker's catalogs what any worker wrote."""

    followed = "items"

    def __init__(self, catalogs: Catalogs, items: ItemStore) -> None:
        """Reads nothing yet."""
        super().__init__(catalogs)
        self._items = items

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

"""Keeping a worker's catalogs up with what others wrote to Redis."""

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import ClassVar

from service.catalogs import Catalogs
from service.errors import StoreUnavailable

logger = logging.getLogger(__name__)


class Follower(ABC):
    """Takes in what is new of one kind, catalog by catalog, again and again."""

    followed: ClassVar[str]
    """What is followed, for the log."""

    def __init__(self, catalogs: Catalogs) -> None:
        """Reads nothing yet."""
        self._catalogs = catalogs
        # Per catalog the number of the last change that was taken in.
        self._numbers: dict[str, int] = {}
        self._following = asyncio.Lock()
        self._stopped = False

    @abstractmethod
    async def catch_up(self, catalog: str) -> None:
        """Takes in what is new in a catalog.

        Raises:
            StoreUnavailable: there was no reply in time.
        """

    async def catch_up_all(self) -> None:
        """Catches up with all catalogs as far as Redis replies."""
        for catalog in self._catalogs.names:
            try:
                await self.catch_up(catalog)
            except StoreUnavailable:
                break  # The next round asks again; what is known goes on to hold.
            except Exception:
                # One entry that cannot be understood must not end the following of others.
                logger.exception("following the %s of catalog=%s failed", self.followed, catalog)

    def stop(self) -> None:
        """Ends `poll` after its round: a cancellation can get lost in a client's time limit."""
        self._stopped = True

    async def poll(self, interval_s: float) -> None:
        """Catches up until it is stopped."""
        while True:
            await self.catch_up_all()
            if self._stopped:
                return
            await asyncio.sleep(interval_s)

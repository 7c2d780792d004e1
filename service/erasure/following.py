"""Keeping the served catalogs up with who was erased."""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from service.catalogs import Catalogs
from service.erasure.lifting import lift_marks
from service.erasure.marks import MarkStore
from service.errors import StoreUnavailable

if TYPE_CHECKING:
    from service.state import ServiceState

logger = logging.getLogger(__name__)


async def catch_up(state: "ServiceState", catalog: str) -> None:
    """Takes in what was erased up to now, by any worker, as far as Redis replies.

    For what is asked of a version without reading the history of the user it is about.
    """
    if state.erasures is not None:
        with suppress(StoreUnavailable):
            await state.erasures.catch_up(catalog, for_request=True)


class ErasureFollower:
    """Tells this worker's catalogs whom any worker or command erased.

    A user's history says it too, and at once; this is for what is asked of a version without
    reading one, for the time when Redis does not reply, and for when the history is gone.
    """

    def __init__(self, catalogs: Catalogs, marks: MarkStore) -> None:
        """Reads nothing yet."""
        self._catalogs = catalogs
        self._marks = marks
        self._numbers: dict[str, int] = {}
        self._following = asyncio.Lock()
        self._stopped = False

    async def catch_up(self, catalog: str, *, for_request: bool = False) -> None:
        """Takes in every erasure so far: one look at Redis unless there are new ones.

        Args:
            catalog: a known catalog.
            for_request: whether a request waits for it.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        known = self._numbers.get(catalog, 0)
        if await self._marks.number(catalog, for_request=for_request) == known:
            return
        async with self._following:
            news = await self._marks.read(catalog)
            # Where the numbers began anew Redis has lost what it knew; this worker has not.
            lost = news.number < self._numbers.get(catalog, 0)
            await asyncio.to_thread(self._catalogs.erase, catalog, news.marks, lost=lost)
            self._numbers[catalog] = news.number
            logger.info("erased users catalog=%s marks=%d", catalog, len(news.marks))

    async def lift(self, catalog: str, root: Path) -> None:
        """Lifts what no version needs any more, as far as Redis replies."""
        with suppress(StoreUnavailable):
            await lift_marks(self._marks, root, catalog)

    def stop(self) -> None:
        """Ends `poll` after its round: a cancellation can get lost in a client's time limit."""
        self._stopped = True

    async def catch_up_all(self) -> None:
        """Catches up with all catalogs as far as Redis replies."""
        for catalog in self._catalogs.names:
            try:
                await self.catch_up(catalog)
            except StoreUnavailable:
                break  # The next round asks again; what is known goes on being hidden.
            except Exception:
                # One mark that cannot be understood must not end the following of others.
                logger.exception("following the erasures of catalog=%s failed", catalog)

    async def poll(self, interval_s: float) -> None:
        """Catches up until it is stopped."""
        while True:
            await self.catch_up_all()
            if self._stopped:
                return
            await asyncio.sleep(interval_s)

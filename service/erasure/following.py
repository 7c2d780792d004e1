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
from service.following import Follower

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


class ErasureFollower(Follower):
    """Tells this worker's catalogs whom any worker or command erased.

    A user's history says it too, and at once; this is for what is asked of a version without
    reading one, for the time when Redis does not reply, and for when the history is gone.
    """

    followed = "erasures"

    def __init__(self, catalogs: Catalogs, marks: MarkStore) -> None:
        """Reads nothing yet."""
        super().__init__(catalogs)
        self._marks = marks

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

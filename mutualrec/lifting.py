"""Lifting the marks of erased users when no version is left that learned from them."""

import asyncio
import logging
from pathlib import Path

from mutualrec.options import workspace

logger = logging.getLogger(__name__)

_TIMEOUT_S = 5.0


def lift_marks(home: Path, catalog: str) -> None:
    """Lift them as far as Redis replies; the next prune or retraining does the rest.

    Args:
        home: The workspace, whose private Valkey server is asked if it runs and no URL is set.
        catalog: The catalog whose versions changed.
    """
    from mutualrec.commands.serving import load_settings
    from mutualrec.valkey import running_valkey
    from service.erasure.lifting import lift_marks as lift
    from service.erasure.marks import MarkStore
    from service.errors import StoreUnavailable
    from service.store.client import EventStore

    settings = load_settings(home)
    url = settings.redis_url or running_valkey(workspace(home).valkey)
    if url is None:
        return
    patient = settings.model_copy(update={"redis_timeout_s": _TIMEOUT_S})

    async def main() -> None:
        store = EventStore(str(url), patient)
        try:
            lifted = await lift(MarkStore(store), workspace(home).artifacts, catalog)
            if lifted:
                logger.info(
                    "catalog=%s: %d erased users are in no version any more", catalog, lifted
                )
        except StoreUnavailable as error:
            logger.warning("marks of erased users are lifted next time: %s", error)
        finally:
            await store.close()

    asyncio.run(main())

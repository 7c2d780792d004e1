"""What someone did lately, from Redis."""

import asyncio
from collections.abc import Mapping, Sequence

from service.errors import StoreUnavailable
from service.events import Sign
from service.state import ServiceState
from service.store.client import HistoryItem
from service.store.history import merged


async def read_history(
    state: ServiceState,
    catalog: str,
    user_id: str | None,
    session_id: str | None,
    signs: Mapping[str, Sign],
) -> tuple[Sequence[HistoryItem], bool]:
    """What the user and the session did, and whether that is unknown because Redis did not reply.

    Args:
        state: the application.
        catalog: a known catalog.
        user_id: who they are, if they said.
        session_id: the session they are in, if any.
        signs: the catalog's event types.
    """
    if state.store is None or state.sessions is None:
        return [], True
    try:
        if session_id is None:
            return ([] if user_id is None else await state.store.history(catalog, user_id)), False
        of_session = state.sessions.history(catalog, session_id, signs)
        if user_id is None:
            return await of_session, False
        return merged(
            *await asyncio.gather(state.store.history(catalog, user_id), of_session)
        ), False
    except StoreUnavailable:
        return [], True

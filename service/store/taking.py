"""Taking a batch of events, of users and of sessions alike."""

from collections.abc import Mapping, Sequence
from typing import cast

from service.errors import StoreFull
from service.events import Interaction, SessionInteraction, Sign
from service.store.client import EventStore
from service.store.sessions import Sessions


async def take(
    store: EventStore,
    sessions: Sessions,
    catalog: str,
    events: Sequence[Interaction | SessionInteraction],
    signs: Mapping[str, Sign],
    *,
    sync: bool = False,
) -> list[bool]:
    """Stores events; sessions that events name beside a user log in as that user.

    Args:
        store: where users' events go.
        sessions: where those of sessions go.
        catalog: a checked catalog name.
        events: any number of events.
        signs: event type to sign; types not in it are positive.
        sync: return only when the events are on the disk of Redis.

    Returns:
        Per event, True if it was taken and False if its event_id was known already.

    Raises:
        DurabilityUnsupported: with `sync`, where Redis cannot say what is on its disk.
        StoreFull: some streams are full; the others' events were taken.
        StoreUnavailable: some event got no reply. Sending all again is safe when they carry
            their own event_ids.
    """
    if all(isinstance(event, Interaction) and event.session_id is None for event in events):
        return await store.append(catalog, cast(Sequence[Interaction], events), signs, sync=sync)
    of_sessions = {n: e for n, e in enumerate(events) if isinstance(e, SessionInteraction)}
    of_users = {n: e for n, e in enumerate(events) if isinstance(e, Interaction)}
    of_sessions_taken = await sessions.append(catalog, [*of_sessions.values()], sync=sync)
    logins = {e.session_id: e.user_id for e in of_users.values() if e.session_id is not None}
    try:
        await sessions.join(catalog, logins, signs)
    except StoreFull as error:
        raise StoreFull(list(of_users), len(events), retry_after_s=error.retry_after_s) from error
    try:
        of_users_taken = await store.append(catalog, [*of_users.values()], signs, sync=sync)
    except StoreFull as error:
        places = list(of_users)
        refused = [places[index] for index in error.refused]
        raise StoreFull(refused, len(events), retry_after_s=error.retry_after_s) from error
    taken = dict(zip(of_sessions, of_sessions_taken, strict=True))
    taken.update(zip(of_users, of_users_taken, strict=True))
    return [taken[index] for index in range(len(events))]

"""Taking a batch of events, of users and of sessions alike."""

from collections.abc import Mapping, Sequence

from service.events import Interaction, SessionInteraction, Sign
from service.store.client import EventStore
from service.store.sessions import Sessions


async def take(
    store: EventStore,
    sessions: Sessions,
    catalog: str,
    events: Sequence[Interaction | SessionInteraction],
    signs: Mapping[str, Sign],
) -> list[bool]:
    """Stores events; sessions that events name beside a user log in as that user.

    Returns:
        Per event, True if it was taken and False if its event_id was known already.

    Raises:
        StoreUnavailable: some event got no reply. Sending all again is safe when they carry
            their own event_ids.
    """
    of_sessions = {n: e for n, e in enumerate(events) if isinstance(e, SessionInteraction)}
    of_users = {n: e for n, e in enumerate(events) if isinstance(e, Interaction)}
    taken = dict(
        zip(of_sessions, await sessions.append(catalog, [*of_sessions.values()]), strict=True)
    )
    logins = {e.session_id: e.user_id for e in of_users.values() if e.session_id is not None}
    await sessions.join(catalog, logins, signs)
    of_users_taken = await store.append(catalog, [*of_users.values()], signs)
    taken.update(zip(of_users, of_users_taken, strict=True))
    return [taken[index] for index in range(len(events))]

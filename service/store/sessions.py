"""Sessions of people who have not said who they are, until they log in."""

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

import orjson
from redis.asyncio import Redis

from service.events import (
    SIGN_MARKS,
    SessionInteraction,
    Sign,
    keys_of,
    partition_of,
    sign_of,
)
from service.settings import Settings
from service.store.client import EventStore
from service.store.history import HistoryItem, PastEvent, history_of

_FUNCTION = "mr_session_3"


class Sessions:
    """A catalog-wide view of sessions in Redis.

    A session's events are kept whole, so that at login they become the user's events, with their
    event_ids. They are no one's before that: the event log gets them at login.
    """

    def __init__(self, store: EventStore, settings: Settings) -> None:
        """Uses the connections of `store`."""
        self._store = store
        self._settings = settings

    async def append(
        self, catalog: str, events: Sequence[SessionInteraction], *, sync: bool = False
    ) -> list[bool]:
        """Keeps events; per event, True if it was taken and False if its event_id was known.

        Args:
            catalog: a checked catalog name.
            events: any number of events.
            sync: return only when the events are on the server's disk.

        Raises:
            DurabilityUnsupported: the server cannot say when events are on its disk.
            StoreUnavailable: some event got no reply; sending all again is safe.
        """
        if not events:
            return []
        sessions: dict[str, list[int]] = defaultdict(list)
        for index, event in enumerate(events):
            sessions[event.session_id].append(index)
        token = uuid.uuid4().hex
        calls = [
            self._arguments(catalog, session_id, [events[i] for i in indices], token)
            for session_id, indices in sessions.items()
        ]
        replies = await self._store.call_function(_FUNCTION, calls, sync=sync)
        taken = [False] * len(events)
        for indices, reply in zip(sessions.values(), replies, strict=True):
            for index, value in zip(indices, reply, strict=True):
                taken[index] = value == 1
        return taken

    async def history(
        self, catalog: str, session_id: str, signs: Mapping[str, Sign]
    ) -> list[HistoryItem]:
        """What the session did, as of a user.

        Args:
            catalog: a checked catalog name.
            session_id: any id; an unknown session did nothing.
            signs: event type to sign; neutral ones are left out.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        reply: dict[bytes, bytes] = await self._store.read(
            ("HGETALL", _keys(catalog, session_id)[0])
        )
        return session_history(_events(session_id, reply), signs)

    async def join(self, catalog: str, logins: Mapping[str, str], signs: Mapping[str, Sign]) -> int:
        """Gives the sessions' events to users; repeating it changes nothing.

        Args:
            catalog: a checked catalog name.
            logins: session id to user id.
            signs: event type to sign.

        Returns:
            How many events became a user's.

        Raises:
            StoreFull: a stream is full; nothing is lost, try again.
            StoreUnavailable: there was no reply in time; nothing is lost, try again.
        """
        if not logins:
            return 0
        found = await self._read(catalog, list(logins))
        events = [
            event.of_user(user_id)
            for session, user_id in logins.items()
            for event in found[session]
        ]
        taken = await self._store.append(catalog, events, signs)
        # Only what was read: what the session did meanwhile waits for the next login.
        await self._forget(catalog, {s: [e.event_id for e in found[s]] for s in logins if found[s]})
        return sum(taken)

    async def _read(
        self, catalog: str, session_ids: Sequence[str]
    ) -> dict[str, list[SessionInteraction]]:
        keys = [_keys(catalog, session_id)[0] for session_id in session_ids]

        async def read_all(redis: Redis) -> list[dict[bytes, bytes]]:
            async with redis.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.hgetall(key)
                return cast("list[dict[bytes, bytes]]", await pipeline.execute())

        replies = await self._store.execute(read_all)
        return {
            session_id: _events(session_id, reply)
            for session_id, reply in zip(session_ids, replies, strict=True)
        }

    async def _forget(self, catalog: str, event_ids: Mapping[str, Sequence[str]]) -> None:
        if not event_ids:
            return

        async def remove(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipeline:
                for session_id, ids in event_ids.items():
                    events, order = _keys(catalog, session_id)
                    pipeline.hdel(events, *ids)
                    pipeline.zrem(order, *ids)
                await pipeline.execute()

        await self._store.execute(remove)

    def _arguments(
        self, catalog: str, session_id: str, events: Sequence[SessionInteraction], token: str
    ) -> tuple[list[str], list[str | int]]:
        arguments: list[str | int] = [
            self._settings.history_cap,
            self._settings.session_ttl_s,
            token,
        ]
        for event in events:
            body = orjson.dumps(event.model_dump(exclude={"session_id"})).decode()
            arguments += (event.event_id, event.timestamp, body)
        return list(_keys(catalog, session_id)), arguments


def session_history(
    events: Sequence[SessionInteraction], signs: Mapping[str, Sign]
) -> list[HistoryItem]:
    """What events of a session, oldest first, say as a history."""
    known: list[PastEvent] = []
    for event in events:
        mark = SIGN_MARKS.get(sign_of(event.type, signs))
        if mark is not None:
            known.append((mark == "+", event.type, event.item_id, event.timestamp))
    return history_of(known)


def _keys(catalog: str, session_id: str) -> tuple[str, str]:
    return keys_of(catalog, partition_of(session_id)).session(session_id)


def _events(session_id: str, bodies: Mapping[bytes, bytes]) -> list[SessionInteraction]:
    """What Redis holds of a session, oldest first."""
    events = [_decode(session_id, body) for body in bodies.values()]
    return sorted(events, key=lambda event: event.timestamp)


def _decode(session_id: str, value: bytes) -> SessionInteraction:
    _, _, body = value.partition(b"\0")
    return SessionInteraction.model_construct(**orjson.loads(body), session_id=session_id)

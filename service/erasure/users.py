"""Exporting and forgetting what Redis holds of users and items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from redis.asyncio import Redis

from service.erasure.marks import Mark, MarkStore
from service.erasure.schemas import HistoryEntry, WaitingEvent
from service.erasure.sessions import SessionTraces
from service.events import (
    PARTITIONS,
    decode_event,
    digest_of,
    keys_of,
    partition_of,
)
from service.store.appending import Call
from service.store.client import EventStore

_ERASE = "mr_erase_2"
_AT_ONCE = 1000
_MARK_TTL_S = 86_400
"""How long a history says that its user was erased: every worker knows it long before that."""

_MARK = b"!"

# A stream entry as the client gives it: its id and its fields.
_Entry = tuple[bytes, Mapping[bytes, bytes]]


@dataclass(frozen=True)
class Removed:
    """What left Redis, and when (epoch ms); `sessions` counts events of sessions without a user."""

    at_ms: int
    history: int
    waiting_events: int
    sessions: int = 0


class Erasure:
    """Reads and forgets, in pieces that hold nobody else up.

    A tombstone comes first: from then on the event log drops the events at its next draining,
    even if nothing else happens, and no worker uses what a version learned of the user: the
    history bears a mark, read with it in the same round trip, and `MarkStore` has another one
    that stays.
    """

    def __init__(self, store: EventStore) -> None:
        """Uses the connections of `store`."""
        self._store = store
        self._marks = MarkStore(store)
        self._sessions = SessionTraces(store)

    async def history(self, catalog: str, user_id: str) -> list[HistoryEntry]:
        """A user's history, negative events included, oldest first.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        key = keys_of(catalog, partition_of(user_id)).history(user_id)

        async def read(redis: Redis) -> list[tuple[bytes, float]]:
            return cast(
                "list[tuple[bytes, float]]", await redis.zrange(key, 0, -1, withscores=True)
            )

        rows = await self._store.execute(read)
        entries = [
            _entry(member, abs(score)) for member, score in rows if not member.startswith(_MARK)
        ]
        return sorted(entries, key=lambda entry: entry.timestamp)

    async def waiting_events(self, catalog: str, user_id: str) -> list[WaitingEvent]:
        """A user's events that the event log does not have yet.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        stream = keys_of(catalog, partition_of(user_id)).events
        found = await self._waiting(stream, b"u", user_id, "+")
        events = (decode_event(fields) for _, fields in found)
        return [WaitingEvent(**event.model_dump(exclude={"session_id"})) for event in events]

    async def erase_user(self, catalog: str, user_id: str) -> Removed:
        """Forgets a user's history, with what is never shown to them, and their waiting events.

        Raises:
            StoreUnavailable: there was no reply in time; send it again.
        """
        keys = keys_of(catalog, partition_of(user_id))
        names = [keys.events, keys.erasures, keys.history(user_id)]
        [[at_ms, ms, sequence, history, *tombstone]] = await self._store.call_function(
            _ERASE, [(names, ["user", digest_of(user_id), _MARK_TTL_S])]
        )
        await self._marks.put(catalog, user_id, Mark(partition_of(user_id), *tombstone))
        last = f"{ms}-{sequence}"
        return Removed(at_ms, history, await self._remove(keys.events, b"u", user_id, last))

    async def erase_item(self, catalog: str, item_id: str) -> Removed:
        """Forgets an item's waiting events, and what histories and sessions say of it.

        Raises:
            StoreUnavailable: there was no reply in time; send it again.
        """
        # First of all: what a session hands over at login is before the tombstones then.
        sessions = await self._sessions.remove(catalog, item_id)
        calls: list[Call] = []
        for partition in range(PARTITIONS):
            keys = keys_of(catalog, partition)
            # An item has no history of its own; no user has an empty id.
            names = [keys.events, keys.erasures, keys.history("")]
            calls.append((names, ["item", digest_of(item_id), 0]))
        replies = await self._store.call_function(_ERASE, calls)
        waiting = 0
        for partition, (_, ms, sequence, *_) in enumerate(replies):
            stream = keys_of(catalog, partition).events
            waiting += await self._remove(stream, b"i", item_id, f"{ms}-{sequence}")
        histories = await self._members(catalog, item_id)
        for key, members in histories.items():
            await self._store.execute(partial(_zrem, key=key, members=members))
        in_histories = sum(map(len, histories.values()))
        return Removed(replies[0][0], in_histories, waiting, sessions)

    async def traces_of_item(self, catalog: str, item_id: str) -> Removed:
        """What Redis still says of an item; `at_ms` is 0.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        waiting = 0
        for partition in range(PARTITIONS):
            stream = keys_of(catalog, partition).events
            waiting += len(await self._waiting(stream, b"i", item_id, "+"))
        histories = await self._members(catalog, item_id)
        sessions = await self._sessions.count(catalog, item_id)
        return Removed(0, sum(map(len, histories.values())), waiting, sessions)

    async def _waiting(self, stream: str, field: bytes, value: str, last: str) -> list[_Entry]:
        """The entries of a stream up to one whose field has a value."""
        found: list[_Entry] = []
        start = "-"
        while True:
            read = partial(_xrange, stream=stream, start=start, last=last)
            entries = await self._store.execute(read, for_request=False)
            found += [entry for entry in entries if entry[1].get(field) == value.encode()]
            if len(entries) < _AT_ONCE:
                return found
            start = f"({entries[-1][0].decode()}"

    async def _remove(self, stream: str, field: bytes, value: str, last: str) -> int:
        entries = await self._waiting(stream, field, value, last)
        for begin in range(0, len(entries), _AT_ONCE):
            ids = [entry_id for entry_id, _ in entries[begin : begin + _AT_ONCE]]
            await self._store.execute(partial(_xdel, stream=stream, ids=ids))
        return len(entries)

    async def _members(self, catalog: str, item_id: str) -> dict[bytes, list[bytes]]:
        """What every history says of an item."""
        # Names of catalogs have no character that is special in a pattern.
        pattern = f"mr:{catalog}:{{p[0-9][0-9]}}:history:*"
        keys = await self._store.execute(partial(_scan, pattern=pattern), for_request=False)
        ending = item_id.encode()
        found: dict[bytes, list[bytes]] = {}
        for begin in range(0, len(keys), _AT_ONCE):
            some = keys[begin : begin + _AT_ONCE]
            read = partial(_zranges, keys=some)
            for key, members in zip(some, await self._store.execute(read), strict=True):
                mine = [member for member in members if member.partition(b"\0")[2] == ending]
                if mine:
                    found[key] = mine
        return found


async def _xrange(redis: Redis, *, stream: str, start: str, last: str) -> list[_Entry]:
    return cast("list[_Entry]", await redis.xrange(stream, start, last, _AT_ONCE))


async def _xdel(redis: Redis, *, stream: str, ids: Sequence[bytes]) -> None:
    await redis.xdel(stream, *ids)


async def _zrem(redis: Redis, *, key: bytes, members: Sequence[bytes]) -> None:
    await redis.zrem(key, *members)


async def _scan(redis: Redis, *, pattern: str) -> list[bytes]:
    return [key async for key in redis.scan_iter(match=pattern, count=_AT_ONCE)]


async def _zranges(redis: Redis, *, keys: Sequence[bytes]) -> list[list[bytes]]:
    async with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.zrange(key, 0, -1)
        return cast("list[list[bytes]]", await pipeline.execute())


def _entry(member: bytes, timestamp: float) -> HistoryEntry:
    event_type, _, item_id = member.decode().partition("\0")
    return HistoryEntry(
        item_id=item_id,
        type=event_type[1:],
        positive=event_type[0] == "+",
        timestamp=int(timestamp),
    )

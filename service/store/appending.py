"""Writing events: one server-side call per partition, shared by the requests of a moment."""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence

from service.errors import StoreFull
from service.events import (
    PARTITIONS,
    SIGN_MARKS,
    Interaction,
    Sign,
    encode_event,
    keys_of,
    partition_of,
    sign_of,
)
from service.settings import Settings

INGEST = "mr_ingest_4"
RETRY_AFTER_S = 1
RETRY_AFTER_FULL_S = 10

Call = tuple[list[str], list[str | int]]
"""Keys and arguments of one call of a server-side function."""

_MAX_SHARED = 32
_MAX_GROUP = 512
_TAKEN, _REFUSED = 1, -1


class _Append:
    """Events that one caller waits for."""

    __slots__ = ("catalog", "events", "found", "replies", "signs")

    def __init__(
        self, catalog: str, events: Sequence[Interaction], signs: Mapping[str, Sign]
    ) -> None:
        self.catalog = catalog
        self.events = events
        self.signs = signs
        self.found = [0] * len(events)
        self.replies: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()


class Appender:
    """Stores events; for one event loop.

    While one round trip is under way, small appends wait and go together in the next one: under
    load that costs each of them a fraction of a round trip, and nothing is added when there is no
    load. Every caller hears of its own events only, after the server has replied.
    """

    def __init__(
        self, call: Callable[[str, Sequence[Call]], Awaitable[list[list[int]]]], settings: Settings
    ) -> None:
        """Writes through `call`.

        Args:
            call: calls a server-side function once per (keys, arguments), in one round trip.
            settings: caps and TTLs.
        """
        self._call = call
        self._settings = settings
        self._waiting: list[_Append] = []
        self._flushing: asyncio.Task[None] | None = None

    async def append(
        self, catalog: str, events: Sequence[Interaction], signs: Mapping[str, Sign]
    ) -> list[bool]:
        """Stores events; see `EventStore.append`."""
        if not events:
            return []
        append = _Append(catalog, events, signs)
        if len(events) > _MAX_SHARED:
            await self._write([append])
        else:
            self._waiting.append(append)
            if self._flushing is None:
                self._flushing = asyncio.create_task(self._flush())
        return _outcomes(await append.replies)

    async def _flush(self) -> None:
        try:
            while self._waiting:
                group, num_events = [], 0
                while self._waiting and num_events < _MAX_GROUP:
                    group.append(self._waiting.pop(0))
                    num_events += len(group[-1].events)
                try:
                    await self._write(group)
                except Exception as error:  # every caller hears it; none must wait for ever
                    for append in group:
                        if not append.replies.done():
                            append.replies.set_exception(error)
        finally:
            self._flushing = None

    async def _write(self, group: Sequence[_Append]) -> None:
        token = secrets.token_hex(8)
        places: dict[tuple[str, int], list[tuple[_Append, int]]] = defaultdict(list)
        for append in group:
            for index, event in enumerate(append.events):
                places[append.catalog, partition_of(event.user_id)].append((append, index))
        calls = [
            # Each call has a token of its own: replies could change places among the calls, too.
            self._arguments(catalog, partition, where, f"{token}{call:x}")
            for call, ((catalog, partition), where) in enumerate(places.items())
        ]
        replies = await self._call(INGEST, calls)
        for where, reply in zip(places.values(), replies, strict=True):
            for (append, index), value in zip(where, reply, strict=True):
                append.found[index] = value
        for append in group:
            if not append.replies.done():  # its request may have been given up
                append.replies.set_result(append.found)

    def _arguments(
        self,
        catalog: str,
        partition: int,
        where: Sequence[tuple[_Append, int]],
        token: str,
    ) -> Call:
        keys = keys_of(catalog, partition)
        settings = self._settings
        names = [keys.events]
        arguments: list[str | int] = [
            settings.dedupe_ttl_s,
            settings.history_cap,
            settings.history_ttl_s,
            token,
            max(1, settings.max_waiting_events // PARTITIONS),
        ]
        for append, index in where:
            event, signs = append.events[index], append.signs
            names += (keys.dedupe(event.event_id), keys.history(event.user_id))
            mark = SIGN_MARKS.get(sign_of(event.type, signs), "")
            arguments += (mark, event.timestamp, *encode_event(event).values())
        return names, arguments


def _outcomes(values: Sequence[int]) -> list[bool]:
    if _REFUSED in values:
        refused = tuple(index for index, value in enumerate(values) if value == _REFUSED)
        raise StoreFull(refused, len(values), retry_after_s=RETRY_AFTER_FULL_S)
    return [value == _TAKEN for value in values]

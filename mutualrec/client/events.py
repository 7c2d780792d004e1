"""Interactions as a client sends them: every event has its id before it is first sent."""

import uuid
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime

from pydantic import JsonValue

from mutualrec.client.call import checked_id, encoded
from mutualrec.client.errors import InvalidRequest
from service.schemas import IngestResponse, RejectedEvent

LARGEST_BODY_BYTES = 1_000_000
"""A little less than what the service takes by default."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One interaction of a user, or of an anonymous session.

    Attributes:
        item_id: the item.
        user_id: who had to do with it.
        session_id: the session in which they had; with a user as well, it is theirs from then on.
        type: an event type of the catalog; None for its default one.
        value: such as a rating or a number of pieces; None for 1.
        timestamp: when: an aware time or epoch milliseconds; None for when the service takes it.
        recommendation_id: of the answer that led to it.
        position: the item's place in that answer, from 0.
        context: anything else worth keeping.
        event_id: unique in the catalog; the service takes an event of an id once.
    """

    item_id: str
    user_id: str | None = None
    session_id: str | None = None
    type: str | None = None
    value: float | None = None
    timestamp: datetime | int | None = None
    recommendation_id: str | None = None
    position: int | None = None
    context: Mapping[str, JsonValue] | None = None
    event_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        if self.user_id is None and self.session_id is None:
            raise ValueError("an event is somebody's: give user_id, session_id or both")
        for identifier in (self.item_id, self.user_id, self.session_id, self.event_id):
            if identifier is not None:
                checked_id(identifier)
        if isinstance(self.timestamp, datetime) and self.timestamp.tzinfo is None:
            raise ValueError(f"timestamp {self.timestamp} needs a time zone, such as datetime.UTC")
        # What cannot be sent is told here, and not when others wait to be sent with it.
        self.json()

    def json(self) -> bytes:
        """The event as it is sent, in one line.

        Raises:
            ValueError: a number is not finite, or a text no Unicode.
        """
        given = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        if isinstance(self.timestamp, datetime):
            given["timestamp"] = self.timestamp.isoformat()
        return encoded({name: value for name, value in given.items() if value is not None})


def array(events: Iterable[Event]) -> bytes:
    """A JSON array of events."""
    return b"[" + b",".join(event.json() for event in events) + b"]"


@dataclass(frozen=True)
class Lines:
    """Events that are sent at once, as NDJSON."""

    events: tuple[Event, ...]
    body: bytes


class Lined:
    """Gathers events into bodies of NDJSON, each small enough for the service."""

    def __init__(self, batch_size: int) -> None:
        """Begins with nothing.

        Args:
            batch_size: the most events in a body.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, at least 1 event is sent at once")
        self._batch_size = batch_size
        self._events: list[Event] = []
        self._lines: list[bytes] = []
        self._size_bytes = 0

    @property
    def waiting(self) -> Sequence[Event]:
        """What is in no body yet."""
        return self._events

    def add(self, event: Event) -> Lines | None:
        """A body that is full, if the event does not fit into it any more."""
        line = event.json()
        is_full = len(self._events) == self._batch_size
        full = None
        if is_full or (self._events and self._size_bytes + len(line) >= LARGEST_BODY_BYTES):
            full = self.rest()
        self._events.append(event)
        self._lines.append(line)
        self._size_bytes += len(line) + 1
        return full

    def rest(self) -> Lines | None:
        """What was gathered since the last body."""
        if not self._events:
            return None
        lines = Lines(tuple(self._events), b"\n".join(self._lines) + b"\n")
        self._events, self._lines, self._size_bytes = [], [], 0
        return lines


async def each(events: Iterable[Event] | AsyncIterable[Event]) -> AsyncIterator[Event]:
    """The events of a source that may have to be awaited."""
    if isinstance(events, AsyncIterable):
        async for event in events:
            yield event
    else:
        for event in events:
            yield event


@dataclass
class Tally:
    """What became of the events of a stream so far; indices count from its beginning."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[RejectedEvent] = field(default_factory=list)
    _sent: int = 0

    def add(self, lines: Lines, answer: IngestResponse) -> None:
        """Counts a body that was answered."""
        self.accepted += answer.accepted
        self.duplicates += answer.duplicates
        self._reject(answer.rejected)
        self._sent += len(lines.events)

    def refuse(self, lines: Lines, error: InvalidRequest) -> None:
        """Counts a body of which no event is valid.

        Raises:
            InvalidRequest: it was refused for another reason.
        """
        faults = [fault for fault in error.errors if "index" in fault]
        if len(faults) != len(lines.events):
            raise error
        self._reject([RejectedEvent.model_validate(fault) for fault in faults])
        self._sent += len(lines.events)

    def result(self) -> IngestResponse:
        """The same as one answer."""
        return IngestResponse(
            accepted=self.accepted, duplicates=self.duplicates, rejected=self.rejected
        )

    def _reject(self, faults: Sequence[RejectedEvent]) -> None:
        self.rejected += [
            RejectedEvent(index=self._sent + fault.index, error=fault.error) for fault in faults
        ]

"""From a request body to events: parsing, defaults, validation."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import orjson
from pydantic import ValidationError

from service.errors import (
    BadRequest,
    FieldError,
    InvalidEvents,
    InvalidParameter,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from service.events import FEEDBACK_TYPES, Interaction, SessionInteraction, Sign

MAX_KEY_BYTES = 256
TOLERATED_SKEW_MS = 5000
"""A `sent_at` this near is right: requests take a while, and repeated ones must not differ."""

Event = Interaction | SessionInteraction

_JSON = frozenset({"", "application/json"})
_NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})


class EventRules(NamedTuple):
    """What a catalog expects: its event types (none: any type is taken) and the default one."""

    types: Mapping[str, Sign]
    default_type: str = "view"


class Batch(NamedTuple):
    """Valid events with their indices in the request, and what was wrong with the others."""

    indices: Sequence[int]
    events: Sequence[Event]
    rejected: Sequence[FieldError]


@dataclass(frozen=True)
class _Broken:
    """A line that is not JSON."""

    error: str


def read_batch(
    body: bytes,
    content_type: str,
    *,
    rules: EventRules,
    now_ms: int,
    max_events: int,
    content_encoding: str = "",
    idempotency_key: str | None = None,
    sent_at: str | None = None,
) -> Batch:
    """Reads one event, an array, ``{"events": [...]}`` or NDJSON.

    Args:
        body: the request's body.
        content_type: ``application/x-ndjson`` for NDJSON; JSON otherwise.
        rules: the catalog's event types.
        now_ms: the server's time, epoch ms.
        max_events: larger batches are refused.
        content_encoding: anything but ``identity`` is refused; bodies are not decompressed.
        idempotency_key: gives events without an event_id one made of the key and their index.
        sent_at: when the request was sent by the sender's clock, RFC 3339 or epoch ms; all
            timestamps are moved by how wrong it is.

    Raises:
        BadRequest: the body is not JSON.
        InvalidEvents: no event is valid; all reasons are listed.
        InvalidParameter: the idempotency key is empty or longer than 256 bytes, or `sent_at` is no
            time.
        PayloadTooLarge: there are more than `max_events` events.
        UnsupportedMediaType: the content type is neither JSON nor NDJSON, or the body is packed.
    """
    if idempotency_key is not None and not 1 <= len(idempotency_key.encode()) <= MAX_KEY_BYTES:
        raise InvalidParameter(f"Idempotency-Key must have 1 to {MAX_KEY_BYTES} bytes")
    if content_encoding and content_encoding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType(
            f"content encoding {content_encoding!r} is not understood; send the body uncompressed,"
            " in smaller batches if it is large"
        )
    skew_ms = 0 if sent_at is None else _skew_ms(sent_at, now_ms)
    context = {"now_ms": now_ms, "skew_ms": skew_ms}
    raw_events = _parse(body, content_type)
    if len(raw_events) > max_events:
        raise PayloadTooLarge(
            f"the batch has {len(raw_events)} events, at most {max_events} are taken at once"
        )
    indices, events, rejected = [], [], list[FieldError]()
    for index, raw in enumerate(raw_events):
        try:
            event = _validate(raw, index, rules, context, idempotency_key)
        except ValueError as error:
            rejected.append({"index": index, "error": _explain(error)})
        else:
            indices.append(index)
            events.append(event)
    if not events:
        raise InvalidEvents(
            f"none of the {len(raw_events)} events is valid"
            if raw_events
            else "the request has no event",
            errors=rejected,
        )
    return Batch(indices, events, rejected)


def _skew_ms(sent_at: str, now_ms: int) -> int:
    """How far the sender's clock is behind; 0 while the way here may explain the difference."""
    try:
        if sent_at.isdecimal():
            sent_ms = int(sent_at)
        else:
            moment = datetime.fromisoformat(sent_at)
            if moment.tzinfo is None:
                raise ValueError("there is no time zone")
            sent_ms = round(moment.timestamp() * 1000)
    except ValueError as error:
        raise InvalidParameter(
            f"Sent-At is RFC 3339 with a time zone, or epoch milliseconds; {sent_at!r} is neither"
        ) from error
    skew_ms = now_ms - sent_ms
    return skew_ms if abs(skew_ms) > TOLERATED_SKEW_MS else 0


def _parse(body: bytes, content_type: str) -> list[object]:
    media_type = content_type
    if media_type not in _JSON:
        media_type = content_type.partition(";")[0].strip().lower()
    if media_type in _NDJSON:
        return [_parse_line(line) for line in body.splitlines() if line.strip()]
    if media_type not in _JSON and not media_type.endswith("+json"):
        raise UnsupportedMediaType(
            f"content type {media_type!r} is not understood; send application/json or"
            " application/x-ndjson"
        )
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if isinstance(content, dict) and len(content) == 1 and isinstance(content.get("events"), list):
        content = content["events"]
    return content if isinstance(content, list) else [content]


def _parse_line(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return _Broken(f"not JSON: {error}")


def _validate(
    raw: object,
    index: int,
    rules: EventRules,
    context: dict[str, int],
    idempotency_key: str | None,
) -> Event:
    if isinstance(raw, _Broken):
        raise ValueError(raw.error)
    if not isinstance(raw, dict):
        raise ValueError(f"an event is an object, this is {type(raw).__name__}")
    # A null says as little as a field that is missing.
    given = {name: value for name, value in raw.items() if value is not None}
    if "type" not in given:
        given["type"] = rules.default_type
    if idempotency_key is not None and "event_id" not in given:
        content = f"{idempotency_key}:{index}"
        given["event_id"] = hashlib.sha256(content.encode()).hexdigest()[:32]
    of_session = "session_id" in given and "user_id" not in given
    kind = SessionInteraction if of_session else Interaction
    event = kind.model_validate(given, context=context)
    if rules.types and event.type not in rules.types and event.type not in FEEDBACK_TYPES:
        raise ValueError(
            f"type: {event.type!r} is not an event type of this catalog, which has"
            f" {', '.join(sorted(rules.types))}"
        )
    return event


def _explain(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in faults
    )

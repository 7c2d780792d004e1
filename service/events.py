"""Interaction events: what a client may send, and how Redis holds them.

The contract between ingestion (service) and the event log (training). Keys of one partition share
a hash tag, so that they live on one node of a cluster:

* ``mr:<catalog>:{p07}:events``             stream of all events
* ``mr:<catalog>:{p07}:history:<user_id>``  sorted set, score = epoch ms of the newest event,
  below 0 for negative ones; -inf for the mark of an erasure, ``!`` and its tombstone's stream id
* ``mr:<catalog>:{p07}:session:<session_id>``  hash of a session's events by event_id, and
  ``...:session-order:<session_id>`` a sorted set of their event_ids, until the session logs in
* ``mr:<catalog>:{p07}:dedupe:<event_id>``  present while a repeated event_id is recognised
* ``mr:<catalog>:{p07}:erasures``           stream of what the event log must forget, until it has

A history member is the sign (``+`` or ``-``), the event type, a zero byte and the item id.
"""

import hashlib
import json
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

PARTITIONS = 16
MAX_ID_BYTES = 256
MAX_FUTURE_MS = 5 * 60 * 1000
EARLIEST_MS = 10**11
"""March 1973; smaller numbers are seconds (or garbage), not milliseconds."""
MAX_VALUE = 3.4e38
"""Values are learned from as float32, whose largest number lies just above."""
EVENT_LOG_GROUP = "event-log"

Sign = Literal["positive", "neutral", "negative"]
SIGN_MARKS: Mapping[Sign, str] = {"positive": "+", "negative": "-"}

IMPRESSION = "impression"
"""The type of an event that says: this recommended item was shown."""
CLICK = "click"
FEEDBACK_TYPES = frozenset({IMPRESSION, CLICK})
"""Every catalog takes these types, to learn what became of its recommendations."""

_MAX_CONTEXT_KEYS = 16
_MAX_CONTEXT_BYTES = 1024


def sign_of(event_type: str, signs: Mapping[str, Sign]) -> Sign:
    """The sign of an event's type.

    What a catalog does not say of a type is positive, but for impressions, and for clicks where it
    says that other types count.
    """
    if event_type in signs:
        return signs[event_type]
    is_feedback = event_type == IMPRESSION or (event_type == CLICK and len(signs) > 0)
    return "neutral" if is_feedback else "positive"


def _read_id(value: object, validate: ValidatorFunctionWrapHandler) -> object:
    # Nearly all ids need no more than this look, which costs a third of the validation.
    if type(value) is str and value.isascii() and 1 <= len(value) <= MAX_ID_BYTES:
        return value
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return validate(str(value) if is_number else value)


def _check_id(value: str) -> str:
    try:
        size_bytes = len(value.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ValueError("an id must be valid UTF-8") from error
    if not 1 <= size_bytes <= MAX_ID_BYTES:
        raise ValueError(f"an id has 1 to {MAX_ID_BYTES} bytes of UTF-8, this one {size_bytes}")
    return value


def _read_timestamp(value: object, info: ValidationInfo) -> int:
    context = info.context or {}
    now_ms = int(context["now_ms"])
    if value is None:
        return now_ms
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError(f"timestamp {value!r} needs a time zone, for instance 'Z'")
        value = round(moment.timestamp() * 1000)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("timestamp must be RFC 3339 text or integer epoch milliseconds")
    if value < EARLIEST_MS:
        raise ValueError(
            f"timestamp {value} lies before March 1973; send milliseconds since 1970, not seconds"
        )
    value += int(context.get("skew_ms", 0))
    if value > now_ms + MAX_FUTURE_MS:
        raise ValueError(
            f"timestamp {value} lies more than 5 minutes after the server's {now_ms}; correct the"
            " sender's clock, or send its time as Sent-At"
        )
    return min(value, now_ms)


def _check_context(context: dict[str, JsonValue]) -> dict[str, JsonValue]:
    size_bytes = len(json.dumps(context).encode())
    if len(context) > _MAX_CONTEXT_KEYS or size_bytes > _MAX_CONTEXT_BYTES:
        raise ValueError(
            f"context may have {_MAX_CONTEXT_KEYS} keys and {_MAX_CONTEXT_BYTES} bytes of JSON,"
            f" this one has {len(context)} and {size_bytes}"
        )
    return context


EventTypeName = Annotated[
    # Histories hold it before the item id, with a zero byte between them.
    str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]*$")
]
_ID_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES}
Identifier = Annotated[
    str,
    AfterValidator(_check_id),
    WrapValidator(_read_id),
    WithJsonSchema({"anyOf": [_ID_SCHEMA, {"type": "integer"}]}),
]


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: Identifier = Field(default_factory=lambda: uuid.uuid4().hex)
    item_id: Identifier
    type: EventTypeName = "view"
    value: Annotated[
        float, Field(strict=True, allow_inf_nan=False, ge=-MAX_VALUE, le=MAX_VALUE)
    ] = 1.0
    timestamp: Annotated[
        int,
        BeforeValidator(_read_timestamp, json_schema_input_type=int | str | None),
        Field(validate_default=True),
    ] = None  # type: ignore[assignment]  # the validator turns None into the server's time
    recommendation_id: Identifier | None = None
    position: Annotated[int, Field(strict=True, ge=0, lt=2**31)] | None = None
    context: (
        Annotated[
            dict[str, JsonValue],
            AfterValidator(_check_context),
            WithJsonSchema({"type": "object", "maxProperties": _MAX_CONTEXT_KEYS}),
        ]
        | None
    ) = None


class Interaction(_Event):
    """One event of one user and one item.

    Validate with ``context={"now_ms": ..., "skew_ms": ...}``: the time, and what to add to
    timestamps (nothing if absent).

    Ids are opaque strings of 1-256 bytes; integers are taken as their decimal text. `event_id`
    makes a retry harmless and must be unique in the catalog; the server makes one up if it is
    absent. `timestamp` is epoch ms UTC (RFC 3339 text is accepted), by default the server's time;
    up to 5 minutes after that it counts as now, later ones are refused.
    A `session_id` says that the session is this user's: what it did before joins their history.
    """

    user_id: Identifier
    session_id: Identifier | None = None


class SessionInteraction(_Event):
    """One event of someone who has not said who they are; otherwise as `Interaction`."""

    session_id: Identifier

    def of_user(self, user_id: str) -> Interaction:
        """The same event, now that its user is known."""
        return Interaction.model_construct(**self.model_dump(), user_id=user_id)


@dataclass(frozen=True)
class Keys:
    """The keys of one partition of one catalog."""

    prefix: str

    @property
    def events(self) -> str:
        """The partition's stream."""
        return self.prefix + "events"

    @property
    def erasures(self) -> str:
        """The stream of `Tombstone`s that the event log has not carried out yet."""
        return self.prefix + "erasures"

    def history(self, user_id: str) -> str:
        """A user's history; the user must belong to the partition."""
        return f"{self.prefix}history:{user_id}"

    def session(self, session_id: str) -> tuple[str, str]:
        """A session's events and their order; the session must belong to the partition."""
        return f"{self.prefix}session:{session_id}", f"{self.prefix}session-order:{session_id}"

    def dedupe(self, event_id: str) -> str:
        """The mark of an event that was taken."""
        return f"{self.prefix}dedupe:{event_id}"


@dataclass(frozen=True)
class Tombstone:
    """A user or an item whose events up to now must be forgotten; it does not hold the id.

    Attributes:
        kind: ``user`` or ``item``.
        digest: `digest_of` the id.
        last: id of the last stream entry to forget; the streams number their entries by time.
        at_ms: when it was erased, epoch ms.
    """

    kind: Literal["user", "item"]
    digest: str
    last: tuple[int, int]
    at_ms: int

    @classmethod
    def decode(cls, fields: Mapping[bytes, bytes]) -> "Tombstone":
        """The tombstone of a stream entry. Raises KeyError or ValueError for anything else."""
        ms, _, seq = fields[b"l"].partition(b"-")
        kind: Literal["user", "item"] = "item" if fields[b"k"] == b"item" else "user"
        return cls(kind, fields[b"d"].decode(), (int(ms), int(seq)), int(fields[b"at"]))


def digest_of(identifier: str) -> str:
    """SHA-256 of an id, by which an erased one is known again."""
    return hashlib.sha256(identifier.encode("utf-8")).hexdigest()


def partition_name(partition: int) -> str:
    """``p00`` .. ``p15``: the hash tag, and the key of a watermark."""
    return f"p{partition:02d}"


def partition_of(user_id: str) -> int:
    """The user's partition: CRC-32 of the UTF-8 id modulo 16, the same in every process."""
    return zlib.crc32(user_id.encode("utf-8")) % PARTITIONS


@lru_cache(maxsize=64 * PARTITIONS)
def keys_of(catalog: str, partition: int) -> Keys:
    """The keys of a partition."""
    return Keys(f"mr:{catalog}:{{{partition_name(partition)}}}:")


def item_bodies_key(catalog: str) -> str:
    """The hash of what was said of items: by id, `ItemChange` as JSON."""
    return f"mr:{catalog}:{{items}}:bodies"


def encode_event(event: Interaction) -> dict[str, str]:
    """Stream fields of an event: always the same names in the same order, which packs well."""
    return {
        "e": event.event_id,
        "u": event.user_id,
        "i": event.item_id,
        "t": event.type,
        "v": repr(event.value),
        "ts": str(event.timestamp),
        "r": event.recommendation_id or "",
        "p": "" if event.position is None else str(event.position),
        "c": "" if event.context is None else json.dumps(event.context, ensure_ascii=False),
    }


def decode_event(fields: Mapping[bytes, bytes]) -> Interaction:
    """The event of a stream entry. Raises KeyError or ValueError for anything else."""
    text = {name.decode(): value.decode() for name, value in fields.items()}
    return Interaction.model_construct(
        event_id=text["e"],
        user_id=text["u"],
        item_id=text["i"],
        type=text["t"],
        value=float(text["v"]),
        timestamp=int(text["ts"]),
        recommendation_id=text["r"] or None,
        position=int(text["p"]) if text["p"] else None,
        context=json.loads(text["c"]) if text["c"] else None,
    )

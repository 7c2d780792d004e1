"""What a request to take interactions may ask for beside its body.

Read by hand: the framework's own reading of parameters would take a quarter of the time of a
request with one event.
"""

from dataclasses import dataclass
from typing import Any

from fastapi import Request

from service.errors import InvalidParameter
from service.ingest import MAX_KEY_BYTES

_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_DURABILITIES = ("async", "sync")

# Any: a piece of an OpenAPI document.
PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "catalog",
        "in": "query",
        "description": "By default `default`.",
        "schema": {"type": "string"},
    },
    {
        "name": "results",
        "in": "query",
        "description": "Say what became of each event.",
        "schema": {"type": "boolean", "default": False},
    },
    {
        "name": "durability",
        "in": "query",
        "description": "`sync` answers when the events are on the disk of Redis.",
        "schema": {"type": "string", "enum": list(_DURABILITIES), "default": "async"},
    },
    {
        "name": "Sent-At",
        "in": "header",
        "description": "The sender's time: RFC 3339 or epoch milliseconds. Timestamps are moved by"
        " how far it is off, from 5 s on.",
        "schema": {"type": "string", "examples": ["2026-01-31T12:00:00Z"]},
    },
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes a retry of the same body harmless without event_ids.",
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_BYTES},
    },
]


@dataclass(frozen=True)
class IngestOptions:
    """The values of `PARAMETERS`."""

    catalog: str | None
    results: bool
    sync: bool
    sent_at: str | None
    idempotency_key: str | None

    @classmethod
    def of(cls, request: Request) -> "IngestOptions":
        """Reads them; unknown ones are passed over.

        Raises:
            InvalidParameter: one has a value that is not allowed.
        """
        headers = request.headers
        sent_at, key = headers.get("sent-at"), headers.get("idempotency-key")
        if not request.scope["query_string"]:
            return cls(None, False, False, sent_at, key)
        query = request.query_params
        results = query.get("results", "false").lower()
        if results not in _BOOLEANS:
            raise _invalid("results", results, ("true", "false"))
        durability = query.get("durability", "async")
        if durability not in _DURABILITIES:
            raise _invalid("durability", durability, _DURABILITIES)
        return cls(query.get("catalog"), _BOOLEANS[results], durability == "sync", sent_at, key)


def _invalid(name: str, value: str, allowed: tuple[str, ...]) -> InvalidParameter:
    return InvalidParameter(
        f"{name} is {' or '.join(allowed)}, not {value!r}",
        errors=[{"location": f"query.{name}", "error": f"must be {' or '.join(allowed)}"}],
    )

"""What a request to take interactions is: its body, and what it may ask for beside it.

Read by hand: the framework's own reading of headers, parameters and body would take a third of the
time of a request with one event.
"""

from typing import Any, NamedTuple

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.errors import InvalidParameter
from service.ingest import MAX_KEY_BYTES

_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_DURABILITIES = ("async", "sync")
_HEADERS = {
    b"sent-at": "sent_at",
    b"idempotency-key": "idempotency_key",
    b"content-type": "content_type",
    b"content-encoding": "content_encoding",
}

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


class IngestOptions(NamedTuple):
    """The values of `PARAMETERS`, and what the headers say about the body."""

    catalog: str | None = None
    results: bool = False
    sync: bool = False
    sent_at: str | None = None
    idempotency_key: str | None = None
    content_type: str = ""
    content_encoding: str = ""

    @classmethod
    def of(cls, request: Request) -> "IngestOptions":
        """Reads them; unknown ones are passed over, and of a repeated header the first one holds.

        Raises:
            InvalidParameter: one has a value that is not allowed.
        """
        found: dict[str, str] = {}
        for name, value in request.scope["headers"]:
            field = _HEADERS.get(name)
            if field is not None and field not in found:
                found[field] = value.decode("latin-1")
        if not request.scope["query_string"]:
            return cls(**found)  # type: ignore[arg-type]  # the fields of _HEADERS are texts
        query = request.query_params
        results = query.get("results", "false").lower()
        if results not in _BOOLEANS:
            raise _invalid("results", results, ("true", "false"))
        durability = query.get("durability", "async")
        if durability not in _DURABILITIES:
            raise _invalid("durability", durability, _DURABILITIES)
        return cls(query.get("catalog"), _BOOLEANS[results], durability == "sync", **found)


async def read_body(request: Request) -> bytes:
    """The whole body; most come in one piece.

    Raises:
        ClientDisconnect: the sender went away before its end.
    """
    pieces: list[bytes] = []
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece = message.get("body", b"")
        if not message.get("more_body", False):
            return b"".join((*pieces, piece)) if pieces else bytes(piece)
        pieces.append(piece)


def _invalid(name: str, value: str, allowed: tuple[str, ...]) -> InvalidParameter:
    return InvalidParameter(
        f"{name} is {' or '.join(allowed)}, not {value!r}",
        errors=[{"location": f"query.{name}", "error": f"must be {' or '.join(allowed)}"}],
    )

"""Routes with an id in the middle of the path, which may hold any character, slashes included."""

from urllib.parse import unquote_to_bytes

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import Match
from starlette.types import Scope

from service.errors import BadRequest, InvalidParameter
from service.events import MAX_ID_BYTES


class RawPathRoute(APIRoute):
    """Matches the path as it was sent, so that ``%2F`` belongs to an id and ``/`` ends it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As the base class does, on the path before it was decoded."""
        if scope["type"] != "http":
            return Match.NONE, {}
        raw: bytes = scope["raw_path"]
        return super().matches({**scope, "path": raw.decode("latin-1")})


def raw_id(request: Request, name: str, what: str) -> str:
    """An id out of the path of a `RawPathRoute`.

    Args:
        request: the request.
        name: of the path parameter.
        what: whose id it is, for messages.

    Raises:
        BadRequest: it is not percent-encoded UTF-8.
        InvalidParameter: it is longer than 256 bytes.
    """
    encoded: str = request.path_params[name]
    try:
        identifier = unquote_to_bytes(encoded.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"the {what} id in the path is not percent-encoded UTF-8") from error
    if len(identifier.encode()) > MAX_ID_BYTES:
        raise InvalidParameter(f"{what} ids have 1 to {MAX_ID_BYTES} bytes of UTF-8, this one more")
    return identifier

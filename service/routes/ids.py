"""Ids in paths: any characters, percent-encoded."""

from urllib.parse import unquote_to_bytes

from fastapi import Request
from starlette.convertors import Convertor, register_url_convertor

from service.errors import BadRequest, InvalidParameter
from service.events import MAX_ID_BYTES


class _OpaqueConvertor(Convertor[str]):
    """Any characters: slashes too, and line breaks, which the built-in ``path`` leaves out."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("opaque", _OpaqueConvertor())


def path_id(request: Request, prefix: bytes, what: str) -> str:
    """The id at the end of the path as it was sent: the server's own decoding hides invalid UTF-8.

    Args:
        request: the request.
        prefix: what stands before the id, such as ``b"/recommend/"``.
        what: whose id it is, for messages.

    Raises:
        BadRequest: it is not percent-encoded UTF-8.
        InvalidParameter: it is empty or longer than 256 bytes.
    """
    raw_path: bytes = request.scope["raw_path"]
    encoded = raw_path.partition(prefix)[2]
    try:
        decoded = unquote_to_bytes(encoded)
        identifier = decoded.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"the {what} id in the path is not percent-encoded UTF-8") from error
    if not 1 <= len(decoded) <= MAX_ID_BYTES:
        raise InvalidParameter(
            f"{what} ids have 1 to {MAX_ID_BYTES} bytes of UTF-8, this one {len(decoded)}"
        )
    return identifier

"""One request and what its answer means: the same for the client that waits and the async one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from mutualrec.client.errors import InvalidAnswer
from service.events import MAX_ID_BYTES

T_co = TypeVar("T_co", covariant=True)
Scalar: TypeAlias = str | int | float | bool
Query: TypeAlias = Mapping[str, Scalar | Sequence[Scalar] | None]

JSON_TYPE = "application/json"


@dataclass(frozen=True)
class Call(Generic[T_co]):
    """A request, and the type of its answer.

    Attributes:
        method: HTTP method.
        route: path, its ids percent-encoded.
        answer: the type of the body of the answer; that of None where there is none.
        query: parameters; those that are None are left out.
        body: the body.
        headers: further headers.
        idempotent: whether doing it twice is the same as doing it once.
        status: the status of success.
    """

    method: str
    route: str
    answer: type[T_co]
    query: Query = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    idempotent: bool = True
    status: int = 200

    def request(self, http: "httpx.Client | httpx.AsyncClient") -> httpx.Request:
        """The request as `http` sends it."""
        query = {name: value for name, value in self.query.items() if value is not None}
        headers = dict(self.headers)
        if self.body is not None:
            headers.setdefault("Content-Type", JSON_TYPE)
        return http.build_request(
            self.method, self.route, params=query, content=self.body, headers=headers
        )

    def read(self, response: httpx.Response) -> T_co:
        """The answer.

        Raises:
            InvalidAnswer: it is not what was promised.
        """
        try:
            return TypeAdapter(self.answer).validate_json(response.content or b"null")
        except ValidationError as error:
            raise InvalidAnswer(
                f"the answer to {self.method} {self.route} is not understood; see that client and"
                f" service are of one version: {error}"
            ) from error


def path_of(*parts: str) -> str:
    """A path whose parts may hold any character; even dots, which paths treat specially.

    Raises:
        ValueError: a part is no id.
    """
    return "".join("/" + quote(checked_id(part), safe="").replace(".", "%2E") for part in parts)


def checked_id(identifier: str) -> str:
    """The id itself.

    Raises:
        ValueError: it is not 1 to 256 bytes of UTF-8.
    """
    # A lone surrogate is a UnicodeEncodeError, which is a ValueError as well.
    size_bytes = len(identifier.encode("utf-8"))
    if not 1 <= size_bytes <= MAX_ID_BYTES:
        raise ValueError(f"ids have 1 to {MAX_ID_BYTES} bytes of UTF-8, this one {size_bytes}")
    return identifier


def encoded(content: Mapping[str, object] | Sequence[object]) -> bytes:
    """JSON.

    Raises:
        ValueError: a number is not finite, or a text no Unicode.
    """
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8")

"""Errors of the client.

::

    MutualRecError
     ├ Unreachable               no reply, after all attempts
     ├ InvalidAnswer             the reply is not what this version of the client understands
     ├ StreamInterrupted         a stream of events stopped half-way; has what was not sent
     └ ProblemError              the service refused; `detail` says why and what to do
        ├ InvalidRequest         400, 405, 413, 415, 422
        ├ Unauthorized           401  no API key, or one that is not valid
        ├ Forbidden              403  the key lacks the scope
        ├ NotFound               404  no such item, catalog, version, experiment, fund or company
        ├ Conflict               409
        ├ RateLimited            429  the key's limit is used up
        ├ Unavailable            502, 503, 504  the service, or Redis behind it, cannot answer now
        └ ServerFault            any other 5xx
"""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from mutualrec.client.events import Event
    from service.schemas import IngestResponse

_SHOWN = 200


class MutualRecError(Exception):
    """Something that a call of the client could not do."""


class Unreachable(MutualRecError):
    """There was no reply, or none in time."""


class InvalidAnswer(MutualRecError):
    """The reply is not what this version of the client understands."""


class StreamInterrupted(MutualRecError):
    """A stream of events stopped half-way.

    Sending `unsent` again, and then what the source still has, loses and doubles nothing: the
    events keep their ids. The error that stopped it is the `__cause__`.

    Args:
        cause: what happened.
        taken: what became of the events before.
        unsent: the events whose fate is unknown, in order.
    """

    def __init__(
        self, cause: MutualRecError, taken: "IngestResponse", unsent: Sequence["Event"]
    ) -> None:
        super().__init__(
            f"{cause}; {taken.accepted + taken.duplicates} events were taken before; send the"
            f" {len(unsent)} of `unsent` again, then the rest of the source"
        )
        self.taken = taken
        self.unsent = tuple(unsent)


class ProblemError(MutualRecError):
    """The service refused a request (RFC 9457 problem details).

    Attributes:
        status: HTTP status.
        kind: the stable name of the problem, such as ``unknown-item``; empty if there is none.
        title: the same for people.
        detail: what was wrong and what to do.
        errors: the single faults, where several things are wrong.
        request_id: what the service's log calls the request.
        retry_after_s: seconds after which trying again makes sense; None if unknown.
    """

    def __init__(self, problem: dict[str, Any], retry_after_s: float | None) -> None:
        self.status = int(problem["status"])
        self.kind = str(problem.get("type", "")).rpartition(":problem:")[2].removeprefix("about:")
        self.title = str(problem.get("title", ""))
        self.detail = str(problem.get("detail", ""))
        self.errors: list[dict[str, int | str]] = list(problem.get("errors", ()))
        self.request_id: str | None = problem.get("request_id")
        self.retry_after_s = retry_after_s
        super().__init__(f"{self.status} {self.title}: {self.detail}")


class InvalidRequest(ProblemError):
    """The request is wrong; sending it again cannot help."""


class Unauthorized(ProblemError):
    """The request has no valid API key."""


class Forbidden(ProblemError):
    """The API key lacks the scope that the request needs."""


class NotFound(ProblemError):
    """What was named does not exist; `kind` says what."""


class Conflict(ProblemError):
    """Something else is in the way."""


class RateLimited(ProblemError):
    """The key's limit is used up."""


class Unavailable(ProblemError):
    """The service, or Redis behind it, cannot answer now."""


class ServerFault(ProblemError):
    """The service failed; its log has the reason under `request_id`."""


_BY_STATUS: dict[int, type[ProblemError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def problem_of(response: "httpx.Response", retry_after_s: float | None) -> ProblemError:
    """The error that a response of 400 and above, or an unexpected one, stands for."""
    status = response.status_code
    kind = _BY_STATUS.get(status, ServerFault if status >= 500 else InvalidRequest)
    # Any: JSON, of whoever answered.
    try:
        content: Any = json.loads(response.content)
    except ValueError:
        content = None
    if not isinstance(content, dict) or "detail" not in content:
        # A proxy in between answered, not the service.
        content = {"title": _phrase(status), "detail": response.text[:_SHOWN]}
    return kind(content | {"status": status}, retry_after_s)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown status"

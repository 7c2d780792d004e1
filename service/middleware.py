"""Around every request: id, size limit, metrics, security headers, an answer when all fails."""

import logging
import os
import re
import time

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics
from service.problems import problem

logger = logging.getLogger(__name__)

CLIENT_CLOSED = 499
"""What metrics and logs call a request whose sender went away before it was complete."""

# The docs page has a style of its own and nothing else; no answer is made for another page's frame,
# for a cache, or for guessing what it might be.
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
        b" frame-ancestors 'none'",
    ),
)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestMiddleware:
    """Pure ASGI, so that it costs microseconds."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, max_body_bytes: int) -> None:
        """Wraps `app`.

        Args:
            app: the application.
            metrics: where requests are counted.
            max_body_bytes: larger bodies are refused with 413, announced or not.
        """
        self._app = app
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, announced_bytes = _read_headers(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        start = time.perf_counter()
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    *SECURITY_HEADERS,
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        try:
            if announced_bytes > self._max_body_bytes:
                response = problem(scope, 413, self._too_large())
                await response(scope, receive, send_and_note)
            else:
                await self._app(scope, self._limited(receive), send_and_note)
        except ClientDisconnect:
            # Nobody is left to answer, and nothing went wrong here.
            status = CLIENT_CLOSED
        except Exception:
            # The last resort: nothing may leave the service as a bare 500.
            logger.exception("request failed", extra={"request_id": request_id})
            if status:
                raise
            detail = f"the service failed; its log has the reason under request id {request_id}"
            await problem(scope, 500, detail)(scope, receive, send_and_note)
        finally:
            self._note(scope, status, time.perf_counter() - start, request_id)

    def _limited(self, receive: Receive) -> Receive:
        received_bytes = 0

        async def receive_and_count() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._max_body_bytes:
                raise HTTPException(413, self._too_large())
            return message

        return receive_and_count

    def _too_large(self) -> str:
        return f"the body is larger than {self._max_body_bytes} bytes; send smaller batches"

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        refused_at = scope["state"].get("refused_at") or "unmatched"
        route = getattr(scope.get("route"), "path_format", refused_at)
        self._metrics.count_request(route, _method(scope), status, seconds)
        level = logging.WARNING if status >= 500 else logging.DEBUG
        if not logger.isEnabledFor(level):
            return
        logger.log(
            level,
            "request",
            extra={
                "request_id": request_id,
                "route": route,
                "status": status,
                "duration_ms": round(seconds * 1000, 3),
            },
        )


def _read_headers(scope: Scope) -> tuple[str, int]:
    """The request's id, made up where it has none, and how many bytes of body it announces."""
    request_id, length = "", b""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and not request_id:
            request_id = value.decode("latin-1")
        elif name == b"content-length":
            length = value
    if not (request_id and _REQUEST_ID.fullmatch(request_id)):
        request_id = os.urandom(16).hex()
    return request_id, int(length) if length.isdigit() else 0


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in _METHODS else "other"

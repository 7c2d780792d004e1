"""Who may ask what, and how often: all but probes, metrics and documentation needs a key."""

import logging
import os
from pathlib import Path

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import KeysInvalid, KeysMissing
from service.keys import ApiKey, KeyRing, StoredKeys, read_keys
from service.keys import Scope as KeyScope
from service.problems import problem
from service.rate_limit import Allowance, RateLimiter

logger = logging.getLogger(__name__)

_OPEN = frozenset({"/metrics", "/docs", "/openapi.json"})
_ADMIN = frozenset({"admin", "users"})
# Reading, though some of it comes with a body.
_READ = frozenset({"recommend", "similar", "popular", "funds", "companies"})
_WRITE = frozenset({"interactions", "items"})
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="mutualrec"'}


def needed_scope(method: str, path: str) -> KeyScope | None:
    """The scope that a request needs, None for what is open to everybody.

    Anything that is not known here needs a scope: write, where the method may change something.
    """
    path = path.removeprefix("/v1")
    if path in _OPEN or path.startswith("/health/"):
        return None
    first = first_segment(path)
    if first in _ADMIN:
        return "admin"
    if method in ("GET", "HEAD") or (method == "POST" and first in _READ):
        return "read"
    return "write"


def first_segment(path: str) -> str:
    """``recommend`` of ``/recommend/u1``."""
    return path.split("/", 2)[1] if path.startswith("/") else ""


class Keys:
    """The valid keys, read again when their file changes.

    Where a file exists, or once existed while this process ran, only its keys are let in. Without
    one everybody is, which production refuses to start with.

    Attributes:
        ring: the valid keys; None lets everybody in.
    """

    def __init__(self, path: Path, *, production: bool) -> None:
        """Reads nothing yet.

        Args:
            path: the file of keys, there or not.
            production: whether having no valid key is an error at the start.
        """
        self.ring: KeyRing | None = KeyRing(StoredKeys())
        self._path = path
        self._production = production
        self._seen: tuple[int, int, int] | None = None

    def load(self) -> None:
        """Reads the keys at the start.

        Raises:
            KeysInvalid: the file cannot be understood.
            KeysMissing: in production, no key is valid.
        """
        self._seen = self._signature()
        stored = read_keys(self._path)
        self.ring = None if stored is None else KeyRing(stored)
        if self._production and not self.ring:
            raise KeysMissing(
                f"{self._path} holds no API key, and in production nobody is let in without one;"
                " create one with `mutualrec keys create NAME --scope read --scope write`"
            )

    def refresh(self) -> None:
        """Reads the keys again if their file was replaced; a damaged file changes nothing."""
        seen = self._signature()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            stored = read_keys(self._path)
        except KeysInvalid as error:
            logger.error("the API keys stay as they were: %s", error)
            return
        # A file that has gone must not open the service.
        self.ring = KeyRing(stored or StoredKeys())
        logger.info("read API keys valid=%d", len(self.ring))

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


class AccessMiddleware:
    """Lets a request in, or answers 401, 403 or 429."""

    def __init__(self, app: ASGIApp, *, keys: Keys, limiter: RateLimiter) -> None:
        """Wraps `app`.

        Args:
            app: the application.
            keys: who is let in.
            limiter: how often.
        """
        self._app = app
        self._keys = keys
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection event."""
        ring = self._keys.ring
        if ring is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        needed = needed_scope(scope["method"], scope["path"])
        if needed is None:
            await self._app(scope, receive, send)
            return
        presented = _presented(scope)
        key = ring.find(presented or "")
        if key is None:
            response = _unknown(scope, presented)
        elif not key.allows(needed):
            response = _forbidden(scope, key, needed)
        else:
            allowance = await self._limiter.take(key)
            if allowance is None:
                await self._app(scope, receive, send)
                return
            if allowance.allowed:
                await self._app(scope, receive, _with_headers(send, allowance))
                return
            response = _too_many(scope, key, allowance)
        scope["state"]["refused_at"] = _known_part(scope["path"])
        await response(scope, receive, send)


def _unknown(scope: Scope, presented: str | None) -> Response:
    what = "has no API key" if presented is None else "has an API key that is not valid"
    detail = (
        f"the request {what}; send a key as X-API-Key or as Authorization: Bearer, and create one"
        " with `mutualrec keys create`"
    )
    return problem(scope, 401, detail, headers=_CHALLENGE)


def _forbidden(scope: Scope, key: ApiKey, needed: KeyScope) -> Response:
    detail = (
        f"the key {key.name!r} has the scopes {', '.join(sorted(key.scopes))}, but"
        f" {scope['method']} here needs {needed}; use another key"
    )
    return problem(scope, 403, detail)


def _too_many(scope: Scope, key: ApiKey, allowance: Allowance) -> Response:
    detail = (
        f"the key {key.name!r} may ask {allowance.limit} times in {allowance.window_s} s; ask again"
        f" in {allowance.retry_after_s} s, or send events in batches"
    )
    return problem(scope, 429, detail, headers=allowance.headers())


def _with_headers(send: Send, allowance: Allowance) -> Send:
    fields = [
        (name.lower().encode(), value.encode()) for name, value in allowance.headers().items()
    ]

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *fields]
        await send(message)

    return send_with_headers


def _known_part(path: str) -> str | None:
    """What metrics call the route of a refused request: anybody can ask for any path."""
    first = first_segment(path.removeprefix("/v1"))
    return f"/{first}" if first in _ADMIN | _READ | _WRITE else None


def _presented(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            return str(value, "latin-1").strip()
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return str(value[7:], "latin-1").strip()
    return None

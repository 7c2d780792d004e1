"""Request limits per API key, shared by all processes through Redis.

A process reserves requests of a busy key in advance, up to a twentieth of its limit, so that hardly
any request waits for Redis and the limit still holds over all processes: what is reserved is taken
from the limit whether it is used or not. A key that asks rarely has each request counted alone.
Without Redis nothing is limited: a recommendation is worth more than its count.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Protocol

from service.errors import StoreUnavailable
from service.keys import ApiKey

LEASE_S = 1.0
SHARE = 20
_POLICY = '"key"'


class ScriptStore(Protocol):
    """Runs a script atomically; the Redis client of the service does."""

    async def evaluate(self, script: str, key: str, *arguments: int) -> list[int]:
        """The integers the script returns.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        ...


@dataclass(frozen=True)
class Allowance:
    """Whether one request may pass, and what to tell its sender.

    Attributes:
        allowed: whether it may.
        limit: requests per window.
        window_s: the window.
        remaining: requests left now.
        reset_s: seconds until the limit is whole again.
        retry_after_s: seconds until the next request may pass; 0 if this one may.
    """

    allowed: bool
    limit: int
    window_s: int
    remaining: int
    reset_s: int
    retry_after_s: int = 0

    def headers(self) -> dict[str, str]:
        """RateLimit fields as the IETF draft has them, and Retry-After for a refusal."""
        fields = {
            "RateLimit-Policy": f"{_POLICY};q={self.limit};w={self.window_s}",
            "RateLimit": f"{_POLICY};r={self.remaining};t={self.reset_s}",
        }
        if not self.allowed:
            fields["Retry-After"] = str(self.retry_after_s)
        return fields


@dataclass
class _Account:
    """What this process knows of one key."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    leased: int = 0
    lease_size: int = 1
    leased_at: float = -math.inf
    remaining: int = 0
    whole_at: float = 0.0
    refused_until: float = -math.inf


class RateLimiter:
    """Counts requests; for one event loop.

    Attributes:
        store: where the counts are; None limits nothing.
    """

    def __init__(
        self,
        default_limit: int | None,
        window_s: int,
        *,
        on_unchecked: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Limits nothing until `store` is set.

        Args:
            default_limit: requests per window of a key without a limit of its own; None for all.
            window_s: the window.
            on_unchecked: called when a request passes because Redis did not reply.
            clock: seconds, never going back.
        """
        self.store: ScriptStore | None = None
        self._default = default_limit
        self._window_s = window_s
        self._on_unchecked = on_unchecked
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._script = files("service.store").joinpath("rate_limit.lua").read_text(encoding="utf-8")

    async def take(self, key: ApiKey) -> Allowance | None:
        """Counts one request of a key; None if the key has no limit or it cannot be counted."""
        limit = key.limit or self._default
        if limit is None or self.store is None:
            return None
        account = self._accounts.setdefault(key.name, _Account())
        if self._must_ask(account):
            async with account.lock:
                # Another request may have asked while this one waited.
                if self._must_ask(account):
                    try:
                        await self._reserve(self.store, key.name, account, limit)
                    except StoreUnavailable:
                        self._on_unchecked()
                        return None
        return self._spend(account, limit)

    def _must_ask(self, account: _Account) -> bool:
        now = self._clock()
        if account.leased and now - account.leased_at > LEASE_S:
            account.leased = 0
            account.lease_size = 1
        return account.leased == 0 and now >= account.refused_until

    async def _reserve(self, store: ScriptStore, name: str, account: _Account, limit: int) -> None:
        is_busy = self._clock() - account.leased_at <= LEASE_S
        wanted = min(2 * account.lease_size, max(1, limit // SHARE)) if is_busy else 1
        granted, remaining, wait_ms, reset_ms = await store.evaluate(
            # No catalog has an empty name, so this can be no catalog's key.
            self._script,
            f"mr::limit:{name}",
            limit,
            self._window_s * 1000,
            wanted,
        )
        now = self._clock()
        account.leased, account.lease_size, account.leased_at = granted, wanted, now
        account.remaining, account.whole_at = remaining, now + reset_ms / 1000
        account.refused_until = now + wait_ms / 1000 if granted == 0 else -math.inf

    def _spend(self, account: _Account, limit: int) -> Allowance:
        now = self._clock()
        reset_s = max(0, math.ceil(account.whole_at - now))
        if account.leased == 0:
            retry_after_s = max(1, math.ceil(account.refused_until - now))
            return Allowance(False, limit, self._window_s, 0, reset_s, retry_after_s)
        account.leased -= 1
        remaining = account.remaining + account.leased
        return Allowance(True, limit, self._window_s, remaining, reset_s)

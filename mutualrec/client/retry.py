"""When a request is sent again, and how long to wait before it."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from mutualrec.client.call import Call
from mutualrec.client.errors import Unreachable, problem_of

_PASSING = frozenset({429, 502, 503, 504})
# Refused before anything was done, so that even what is not idempotent may be sent again.
_NOTHING_DONE = 429
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_REMAINING = re.compile(r";\s*r=(\d+)")
_RESET = re.compile(r";\s*t=(\d+)")
_QUOTA = re.compile(r";\s*q=(\d+)")
_WINDOW = re.compile(r";\s*w=(\d+)")


@dataclass(frozen=True)
class Retry:
    """How often and how patiently a request is sent again.

    The wait before attempt n + 1 is drawn from 0 to ``base_s * 2**n`` seconds (full jitter), at
    most `longest_s`; what the service asks for by ``Retry-After`` is added.

    Attributes:
        attempts: at most so many times a request is sent; 1 never sends one again.
        base_s: scale of the first wait.
        longest_s: the longest wait of its own accord.
        patience_s: the longest ``Retry-After`` that is waited for; a longer one is an error at
            once, whose `retry_after_s` says how long.
    """

    attempts: int = 4
    base_s: float = 0.1
    longest_s: float = 5.0
    patience_s: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.base_s, self.longest_s, self.patience_s) < 0:
            raise ValueError(f"attempts must be at least 1 and seconds not negative, not {self}")


@dataclass
class Attempts:
    """The attempts at one call.

    Attributes:
        call: the call.
        retry: how often and how patiently.
        rng: draws the waits.
    """

    call: Call[object]
    retry: Retry
    rng: random.Random
    made: int = 0

    def failed(self, error: httpx.TransportError) -> float:
        """Seconds to wait before the next attempt, after one that got no reply.

        Raises:
            Unreachable: there is no next one.
        """
        self.made += 1
        safe = self.call.idempotent or isinstance(error, _NEVER_SENT)
        if safe and self.made < self.retry.attempts:
            return self._backoff_s()
        unknown = "" if safe else "; it may have been done, so it was not sent again"
        # Messages of httpx may be empty.
        reason = str(error) or type(error).__name__
        raise Unreachable(
            f"no reply to {self.call.method} {self.call.route} after {self.made} attempt(s):"
            f" {reason}{unknown}; see that the service runs at the base URL"
        ) from error

    def answered(self, response: httpx.Response) -> float | None:
        """Seconds to wait before the next attempt; None when this is the answer.

        Raises:
            ProblemError: the service refused and there is no next attempt.
        """
        self.made += 1
        if response.status_code == self.call.status:
            return None
        error = problem_of(response, retry_after_s(response.headers))
        if not self._may_repeat(response.status_code, error.retry_after_s):
            raise error
        return self._backoff_s() + (error.retry_after_s or 0.0)

    def _may_repeat(self, status: int, asked_s: float | None) -> bool:
        return (
            status in _PASSING
            and (self.call.idempotent or status == _NOTHING_DONE)
            and self.made < self.retry.attempts
            and (asked_s or 0.0) <= self.retry.patience_s
        )

    def _backoff_s(self) -> float:
        longest = min(self.retry.base_s * 2.0 ** (self.made - 1), self.retry.longest_s)
        return self.rng.uniform(0.0, longest)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks for, as a number or as a date; None without one."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


@dataclass
class Pace:
    """Keeps a client below its key's limit, by what ``RateLimit`` headers say.

    When no request is left, the next one waits until one is: the limit refills evenly, so that is
    a window over its quota, and at most until the limit is whole.
    """

    clock: Callable[[], float]
    patience_s: float
    _free_at: float = field(default=0.0, init=False)

    def note(self, headers: Mapping[str, str]) -> None:
        """Reads the headers of an answer."""
        limit, policy = headers.get("ratelimit", ""), headers.get("ratelimit-policy", "")
        if not limit or _number(_REMAINING, limit) != 0 or "retry-after" in headers:
            return
        quota, window = _number(_QUOTA, policy), _number(_WINDOW, policy)
        whole_s = _number(_RESET, limit) or 0
        refill_s = window / quota if quota and window else whole_s
        self._free_at = self.clock() + min(refill_s, whole_s, self.patience_s)

    def wait_s(self) -> float:
        """Seconds to wait before the next request."""
        return max(0.0, self._free_at - self.clock())


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return int(found[1]) if found else None

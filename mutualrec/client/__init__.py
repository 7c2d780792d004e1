"""Python client of the service: `Client` waits for answers, `AsyncClient` runs on an event loop.

Answers are typed, errors name their fix. What does the same when it is done twice is sent again
when the service cannot be reached; events have an id before they are first sent.
"""

from mutualrec.client.asynchronous import AsyncClient
from mutualrec.client.errors import (
    Conflict,
    Forbidden,
    InvalidAnswer,
    InvalidRequest,
    MutualRecError,
    NotFound,
    ProblemError,
    RateLimited,
    ServerFault,
    StreamInterrupted,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from mutualrec.client.events import Event
from mutualrec.client.experiments import Arm
from mutualrec.client.options import Boost, Cap
from mutualrec.client.retry import Retry
from mutualrec.client.waiting import Client

__all__ = [
    "Arm",
    "AsyncClient",
    "Boost",
    "Cap",
    "Client",
    "Conflict",
    "Event",
    "Forbidden",
    "InvalidAnswer",
    "InvalidRequest",
    "MutualRecError",
    "NotFound",
    "ProblemError",
    "RateLimited",
    "Retry",
    "ServerFault",
    "StreamInterrupted",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
]

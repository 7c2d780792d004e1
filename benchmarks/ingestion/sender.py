"""A client that sends every event until it is acknowledged, as ours do."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

BATCH = 100
USERS = 2_000
ITEMS = 500
_IN_FLIGHT = 8
_TIMEOUT_S = 2.0
_PAUSE_S = 0.05


@dataclass
class Sent:
    """What was acknowledged.

    Attributes:
        acknowledged: event id to when, in seconds of `time.monotonic`.
        num_requests: requests made, repetitions included.
        num_duplicates: events that the service said it had already.
        refusals: requests without an acknowledgement, by status; 0 where there was no answer.
    """

    acknowledged: dict[str, float] = field(default_factory=dict)
    num_requests: int = 0
    num_duplicates: int = 0
    refusals: Counter[int] = field(default_factory=Counter)


class Sender:
    """Sends batches of new events over several connections at once."""

    def __init__(self, port: int, name: str) -> None:
        """Connects nothing yet.

        Args:
            port: of the service, or of a proxy before it.
            name: the event ids begin with it.
        """
        self.sent = Sent()
        self._url = f"http://127.0.0.1:{port}/interactions"
        self._name = name
        self._numbers = itertools.count()

    async def send(self, num_events: int, is_done: Callable[[], bool] = lambda: True) -> Sent:
        """Sends at least so many events, and goes on until `is_done`; all are acknowledged."""
        async with httpx.AsyncClient(timeout=_TIMEOUT_S) as http:
            batches = self._batches(num_events, is_done)
            await asyncio.gather(*(self._send_all(http, batches) for _ in range(_IN_FLIGHT)))
        return self.sent

    def _batches(
        self, num_events: int, is_done: Callable[[], bool]
    ) -> Iterator[list[dict[str, str]]]:
        made = 0
        while made < num_events or not is_done():
            size = min(BATCH, num_events - made) if made < num_events else BATCH
            made += size
            yield [self._event(number) for number in itertools.islice(self._numbers, size)]

    def _event(self, number: int) -> dict[str, str]:
        return {
            "event_id": f"{self._name}-{number}",
            "user_id": f"user-{number * 7919 % USERS}",
            "item_id": f"item-{number % ITEMS}",
            "type": "view",
        }

    async def _send_all(
        self, http: httpx.AsyncClient, batches: Iterator[list[dict[str, str]]]
    ) -> None:
        for batch in batches:
            while not await self._is_taken(http, batch):
                await asyncio.sleep(_PAUSE_S)
            now = time.monotonic()
            self.sent.acknowledged.update((event["event_id"], now) for event in batch)

    async def _is_taken(self, http: httpx.AsyncClient, batch: list[dict[str, str]]) -> bool:
        self.sent.num_requests += 1
        try:
            response = await http.post(self._url, json=batch)
        except httpx.TransportError:
            self.sent.refusals[0] += 1
            return False
        if response.status_code >= 500:
            self.sent.refusals[response.status_code] += 1
            return False
        answer = response.raise_for_status().json()
        self.sent.num_duplicates += answer["duplicates"]
        return bool(answer["accepted"] + answer["duplicates"] == len(batch))

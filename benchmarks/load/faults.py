"""What users notice of a new version, of an outage of Redis, and of a long time."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from redis import Redis

from benchmarks.load.catalog import CATALOG, write_catalog
from benchmarks.load.driver import Outcome, closed_loop, open_loop, run
from benchmarks.load.measuring import (
    Place,
    Size,
    asked_users,
    events_of_users,
    give_events,
    prepared,
)
from benchmarks.load.processes import Server, service
from service.artifact import set_current
from training.event_log import drain

_OUTAGE_S = 2.0
_BIN_S = 0.25
_SLOWER = 2.0
_SAMPLES = 40
_POSTS_PER_SECOND = 20.0
_REMEMBERED_PARTS = 8


@dataclass
class Swap:
    """A version that replaced another under full load.

    Attributes:
        outcome: all answers.
        mixed: answers whose items are not those of the version they name.
        of_new: answers of the new version.
        p99_before_ms: until it was made current.
        p99_after_ms: of the worst second since.
        slow_s: how long the 99th percentile was more than twice that before.
    """

    outcome: Outcome
    mixed: int = 0
    of_new: int = 0
    p99_before_ms: float = float("nan")
    p99_after_ms: float = float("nan")
    slow_s: float = float("nan")


@dataclass
class Outage:
    """Redis was killed under load and started again.

    Attributes:
        outcome: all answers.
        degraded: answers without the latest interactions.
        recovery_s: from the server's first reply until the last such answer.
    """

    outcome: Outcome
    degraded: int = 0
    recovery_s: float = float("nan")


@dataclass
class Soak:
    """What an hour shows.

    Attributes:
        service_mib: over time, of the service, without what is mapped from files.
        redis_mib: over time, of Redis' data.
        recommend_statuses: how often recommendations were answered by which; 0 for not at all.
        event_statuses: the same of posted events.
    """

    service_mib: list[float] = field(default_factory=list)
    redis_mib: list[float] = field(default_factory=list)
    recommend_statuses: Counter[int] = field(default_factory=Counter)
    event_statuses: Counter[int] = field(default_factory=Counter)


def swap(size: Size) -> Swap:
    """Makes a version with other items current after a third of the time."""
    with prepared(size) as place:
        root = place.home / "artifacts"
        new = write_catalog(root, size.items, size.users, seed=1, prefix="n")
        prefixes = {place.version: "i", new: "n"}
        with service(place.home, place.redis.url, variables=size.variables) as server:
            give_events(server.port, size.items)
            swapped = Swap(Outcome())

            def inspect(_: float, body: bytes) -> None:
                content = json.loads(body)
                version = content.get("model_version")
                swapped.of_new += version == new
                first = {item["item_id"][0] for item in content.get("items", ())}
                swapped.mixed += bool(first - {prefixes.get(version)})

            async def work() -> float:
                await asyncio.sleep(size.seconds / 3)
                await asyncio.to_thread(set_current, root, CATALOG, new)
                return time.perf_counter()

            swapped.outcome, at = _during(
                lambda: closed_loop(server.port, asked_users(), size.seconds, inspect=inspect),
                work,
            )
    _note_latencies(swapped, at)
    return swapped


def outage(size: Size) -> Outage:
    """Kills Redis after a third of the time, for two seconds."""
    with (
        prepared(size) as place,
        service(place.home, place.redis.url, variables=size.variables) as server,
    ):
        give_events(server.port, size.items)
        found = Outage(Outcome())
        last_degraded = 0.0

        def inspect(at: float, body: bytes) -> None:
            nonlocal last_degraded
            if b'"degraded":true' in body:
                found.degraded += 1
                last_degraded = at

        async def work() -> float:
            await asyncio.sleep(size.seconds / 3)
            await asyncio.to_thread(place.redis.kill)
            await asyncio.sleep(_OUTAGE_S)
            await asyncio.to_thread(place.redis.start)
            return time.perf_counter()

        found.outcome, back = _during(
            lambda: closed_loop(server.port, asked_users(), size.seconds, inspect=inspect), work
        )
        found.recovery_s = max(0.0, last_degraded - back)
    return found


def soak(size: Size, per_second: float) -> Soak:
    """A steady rate of recommendations and events, with the event log drained as trainers do.

    Histories are full from the start, and repeated events are recognised for less time than the
    measurement takes: what grows after that is lost.
    """
    variables = size.variables | {
        "MUTUALREC_DEDUPE_TTL_S": str(max(1, int(size.seconds / _REMEMBERED_PARTS)))
    }
    with (
        prepared(size) as place,
        service(place.home, place.redis.url, variables=variables) as server,
    ):
        give_events(server.port, size.items)
        found = Soak()

        async def samples() -> None:
            for _ in range(_SAMPLES):
                await asyncio.sleep(size.seconds / _SAMPLES)
                await asyncio.to_thread(_sample, found, place, server)

        async def all_of_it() -> tuple[Outcome, Outcome, None]:
            posts = events_of_users(size.items)
            return await asyncio.gather(
                open_loop(server.port, asked_users(), per_second, size.seconds),
                open_loop(server.port, posts, _POSTS_PER_SECOND, size.seconds, 4),
                samples(),
            )

        asked, posted, _ = run(all_of_it())
        found.recommend_statuses.update(asked.statuses)
        found.event_statuses.update(posted.statuses)
    return found


def growth_percent(mib: Sequence[float]) -> float:
    """The last quarter over the second one: the first is warming up."""
    quarter = len(mib) // 4
    return 100 * (
        float(np.median(mib[-quarter:])) / float(np.median(mib[quarter : 2 * quarter])) - 1
    )


def _sample(found: Soak, place: Place, server: Server) -> None:
    with Redis(port=place.redis.port) as client:
        drain(client, CATALOG, Path(place.home) / "events")
        found.redis_mib.append(float(client.info("memory")["used_memory_dataset"]) / 2**20)
    found.service_mib.append(server.own_mib())


def _during(
    load: Callable[[], Coroutine[None, None, Outcome]],
    work: Callable[[], Coroutine[None, None, float]],
) -> tuple[Outcome, float]:
    """What came back, and the moment that the work returned."""

    async def both() -> tuple[Outcome, float]:
        loading = asyncio.ensure_future(load())
        at = await work()
        return await loading, at

    return run(both())


def _note_latencies(swapped: Swap, at: float) -> None:
    outcome = swapped.outcome
    swapped.p99_before_ms = outcome.p99_ms(end=at)
    end = max(outcome.finished)
    starts = np.arange(at, end - 1.0, _BIN_S)
    swapped.p99_after_ms = max(outcome.p99_ms(start, start + 1.0) for start in starts)
    bins = [outcome.p99_ms(start, start + _BIN_S) for start in np.arange(at, end - _BIN_S, _BIN_S)]
    swapped.slow_s = _BIN_S * sum(not p99 <= _SLOWER * swapped.p99_before_ms for p99 in bins)

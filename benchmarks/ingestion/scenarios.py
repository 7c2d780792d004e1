"""Faults while events are taken, and what the log holds in the end."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis

from benchmarks.ingestion.processes import DrainerProcess, ServiceProcess
from benchmarks.ingestion.proxies import Faults, http_proxy, redis_proxy
from benchmarks.ingestion.sender import Sender, Sent
from benchmarks.servers import Server, running
from training.event_log import compact, drain, read_events, verify

_LONGEST_LIFE_S = 1.0
# Acknowledgements of a process that has died arrive later on a busy machine.
_ON_THEIR_WAY_S = 0.2


@dataclass(frozen=True)
class Kill:
    """An end, by `time.monotonic`.

    Attributes:
        dead: when the process was gone.
        restarting: when it was started again; what was acknowledged before, the old one did.
    """

    dead: float
    restarting: float


@dataclass(frozen=True)
class Counts:
    """What became of the events.

    Attributes:
        sent: distinct events that were acknowledged.
        found: distinct events in the log.
        lost: acknowledged events that are not in the log.
        repeated: events that the log tells of more than once when it is read.
        unasked: events in the log that nobody sent.
        kills: processes killed.
        requests: requests made, repetitions included.
        repeated_rows: rows of the files that repeat an event, before compaction.
        lost_within_s: how long before a kill the oldest lost event was acknowledged.
        defects: requests that were answered by 500.
        faults: what the proxies did.
    """

    sent: int
    found: int
    lost: int
    repeated: int
    unasked: int
    requests: int
    repeated_rows: int
    defects: int
    kills: int = 0
    lost_within_s: float = 0.0
    faults: Mapping[str, int] = field(default_factory=dict)


def lossy_proxies(program: str, folder: Path, num_events: int, seed: int = 0) -> Counts:
    """Send events through proxies before the service and before Redis."""
    faults = Faults(random.Random(seed))

    async def send(server: Server, start_service: Callable[[int], ServiceProcess]) -> Sent:
        async with redis_proxy(server.port, faults) as redis_port:
            service = await asyncio.to_thread(start_service, redis_port)
            async with http_proxy(service.port, faults) as port:
                return await Sender(port, "lossy").send(num_events)

    with running(program, folder / "redis") as server:
        services: list[ServiceProcess] = []

        def start(redis_port: int) -> ServiceProcess:
            services.append(ServiceProcess(folder / "service", f"redis://127.0.0.1:{redis_port}"))
            services[0].start()
            return services[0]

        try:
            sent = asyncio.run(send(server, start))
        finally:
            for service in services:
                service.kill()
        return _count(server, folder / "log", sent, faults=dict(faults.done))


def kill_service(
    program: str, folder: Path, num_events: int, num_kills: int, seed: int = 0
) -> Counts:
    """Kill the service at random moments."""
    with running(program, folder / "redis") as server:
        service = ServiceProcess(folder / "service", server.url)
        sent, kills = _send_while_killing(service, service, num_events, num_kills, seed)
        return _count(server, folder / "log", sent, kills)


def kill_redis(
    program: str, folder: Path, num_events: int, num_kills: int, fsync: str, seed: int = 0
) -> Counts:
    """Kill Redis at random moments.

    Args:
        program: its program.
        folder: for everything.
        num_events: the least to send.
        num_kills: how often.
        fsync: its ``appendfsync``.
        seed: of the moments.
    """
    with running(program, folder / "redis", appendfsync=fsync) as server:
        service = ServiceProcess(folder / "service", server.url)
        sent, kills = _send_while_killing(service, server, num_events, num_kills, seed)
        return _count(server, folder / "log", sent, kills)


def kill_drainer(
    program: str, folder: Path, num_events: int, num_kills: int, seed: int = 0
) -> Counts:
    """Kill a process that drains and compacts at random moments."""
    with running(program, folder / "redis") as server:
        service = ServiceProcess(folder / "service", server.url)
        drainer = DrainerProcess(folder, server.url, folder / "log", batch_size=50)
        drainer.start()
        try:
            sent, kills = _send_while_killing(service, drainer, num_events, num_kills, seed)
        finally:
            drainer.kill()
        return _count(server, folder / "log", sent, kills)


def _send_while_killing(
    service: ServiceProcess,
    victim: ServiceProcess | DrainerProcess | Server,
    num_events: int,
    num_kills: int,
    seed: int,
) -> tuple[Sent, list[Kill]]:
    """Send events while the victim is killed and started again; returns its ends."""
    rng, kills = random.Random(seed), list[Kill]()

    async def kill_again_and_again() -> None:
        while len(kills) < num_kills:
            await asyncio.sleep(rng.uniform(0, _LONGEST_LIFE_S))
            await asyncio.to_thread(victim.kill)
            dead = time.monotonic()
            await asyncio.sleep(_ON_THEIR_WAY_S)
            kills.append(Kill(dead, time.monotonic()))
            await asyncio.to_thread(victim.start)

    async def main() -> Sent:
        killing = asyncio.create_task(kill_again_and_again())
        sending: Awaitable[Sent] = Sender(service.port, "kill").send(num_events, killing.done)
        sent, _ = await asyncio.gather(sending, killing)
        return sent

    service.start()
    try:
        return asyncio.run(main()), kills
    finally:
        service.kill()


def _count(
    server: Server,
    log: Path,
    sent: Sent,
    kills: Sequence[Kill] = (),
    faults: Mapping[str, int] | None = None,
) -> Counts:
    with Redis(port=server.port) as client:
        drain(client, "default", log)
    before = verify(log)
    if not before.is_sound:
        raise RuntimeError(f"the log is damaged: {before.faults}")
    compact(log)
    found = read_events(log).column("event_id").to_pylist()
    lost = sent.acknowledged.keys() - set(found)
    return Counts(
        sent=len(sent.acknowledged),
        found=len(set(found)),
        lost=len(lost),
        repeated=len(found) - len(set(found)),
        unasked=len(set(found) - sent.acknowledged.keys()),
        requests=sent.num_requests,
        repeated_rows=before.num_repeated,
        defects=sent.refusals[500],
        kills=len(kills),
        lost_within_s=max(
            (age_when_lost(sent.acknowledged[one], kills) for one in lost), default=0.0
        ),
        faults=faults or {},
    )


def age_when_lost(acknowledged: float, kills: Sequence[Kill]) -> float:
    """How many seconds before the end of who had acknowledged it; infinite if nobody was killed."""
    ages = (kill.dead - acknowledged for kill in kills if kill.restarting >= acknowledged)
    return max(0.0, next(ages, math.inf))

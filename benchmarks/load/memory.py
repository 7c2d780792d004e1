"""The memory of several workers: after some load, after a swap, and after they were replaced."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.load.catalog import CATALOG, write_catalog
from benchmarks.load.driver import closed_loop, run
from benchmarks.load.measuring import Size, asked_users, prepared
from benchmarks.load.processes import Server, service
from service.artifact import set_current

_WORKERS = 3
_SETTLE_S = 2.0
_WAIT_S = 1200.0


@dataclass(frozen=True)
class AfterSwap:
    """MiB of two workers.

    Attributes:
        before: with the version they were started with.
        swapped: with another of the same size, which each loaded for itself.
        replaced: with that one, after `SIGHUP`.
    """

    before: float
    swapped: float
    replaced: float


def memory(size: Size) -> dict[int, list[float]]:
    """MiB of the service by its number of workers, after some load; started anew in every round."""
    found: dict[int, list[float]] = {workers: [] for workers in range(1, _WORKERS + 1)}
    with prepared(size) as place:
        for _ in range(size.rounds):
            for workers, mib in found.items():
                with service(
                    place.home, place.redis.url, workers=workers, variables=size.variables
                ) as server:
                    mib.append(_loaded_mib(server, size))
    return found


def memory_after_swap(size: Size) -> AfterSwap:
    """MiB of two workers before and after a new version, and when they were replaced."""
    with (
        prepared(size) as place,
        service(place.home, place.redis.url, workers=2, variables=size.variables) as server,
    ):
        before = _loaded_mib(server, size)
        version = write_catalog(place.home / "artifacts", size.items, size.users, seed=1)
        set_current(place.home / "artifacts", CATALOG, version)
        _wait_until(lambda: _versions(server) == {version})
        swapped = _loaded_mib(server, size)
        old = set(server.workers())
        server.hang_up()
        _wait_until(lambda: len(server.workers()) == 2 and not old & set(server.workers()))
        return AfterSwap(before, swapped, _loaded_mib(server, size))


def _loaded_mib(server: Server, size: Size) -> float:
    _wait_for_workers(server)
    run(closed_loop(server.port, asked_users(), size.seconds))
    return server.memory_mib()


def _versions(server: Server) -> set[str]:
    """The versions that answer; every request has a connection of its own, hence any worker."""
    return {json.loads(server.get("/recommend/u0"))["model_version"] for _ in range(20)}


def _wait_for_workers(server: Server) -> None:
    """Until every worker has loaded the version: memory stops growing."""
    before = 0.0
    while True:
        time.sleep(_SETTLE_S)
        now = server.memory_mib()
        if abs(now - before) < 0.005 * now:
            return
        before = now


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("it did not happen within twenty minutes")
        time.sleep(0.1)

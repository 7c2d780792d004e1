"""Experiments and their counters in Redis.

Keys of a catalog:

* ``mr:<catalog>:{experiments}:definitions``  hash of experiments by name
* ``...:number``  the latest experiment's number; ``...:token`` changes with every change
* ``mr:<catalog>:{p07}:online:<day>``  hash of the counters of a day's recommendations; fields are
  ``<number>.<arm>.<what>``
* ``mr:<catalog>:{p00}:items:<day>:<number>.<arm>``, ``...:users:...``  HyperLogLogs of the items
  recommended and of whom they were recommended to
* ``mr:<catalog>:{p07}:attributed:<recommendation_id>``  hash of what became of a recommendation,
  until its window is over
* ``mr:<catalog>:{p00}:counted:<worker>``  the number of the worker's latest batch of counts

Days are UTC, and those on which recommendations were made, whenever something became of them.
"""

import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from service.events import PARTITIONS, keys_of, partition_of
from service.experiments.definition import Experiment
from service.experiments.ids import MAX_NUMBER
from service.store.client import EventStore

COUNT = "mr_count_2"
ATTRIBUTE = "mr_attribute_2"

_ArmKey = tuple[int, int]


@dataclass(frozen=True)
class Counted:
    """What was counted of one arm: by name, and roughly how many items and users."""

    counts: Mapping[str, int]
    items: int
    users: int


class ExperimentStore:
    """Reads and writes the experiments of all catalogs."""

    def __init__(self, store: EventStore) -> None:
        """Uses the connections of `store`."""
        self._store = store

    async def token(self, catalog: str) -> bytes | None:
        """Changes whenever an experiment does; None before the first.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        _, _, token = _keys(catalog)

        async def get(redis: Redis) -> bytes | None:
            return cast("bytes | None", await redis.get(token))

        return await self._store.execute(get, for_request=False)

    async def all(self, catalog: str) -> list[Experiment]:
        """The catalog's experiments, oldest first.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        definitions, _, _ = _keys(catalog)

        async def get(redis: Redis) -> list[bytes]:
            return cast("list[bytes]", await redis.hvals(definitions))

        bodies = await self._store.execute(get, for_request=False)
        found = [Experiment.model_validate_json(body) for body in bodies]
        return sorted(found, key=lambda experiment: (experiment.started_at, experiment.name))

    async def versions_needed(self, catalog: str) -> dict[str, str]:
        """The versions that arms of running experiments serve, and which arms those are.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        arms: dict[str, list[str]] = {}
        for experiment in await self.all(catalog):
            for arm in experiment.arms if experiment.running else ():
                if arm.version is not None:
                    arms.setdefault(arm.version, []).append(f"{experiment.name}/{arm.name}")
        return {
            version: f"running experiments serve it (experiment/arm): {', '.join(names)}"
            for version, names in arms.items()
        }

    async def next_number(self, catalog: str) -> int:
        """A number that no experiment of late has.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        _, number, _ = _keys(catalog)

        async def increase(redis: Redis) -> int:
            return int(await redis.incr(number))

        return (await self._store.execute(increase) - 1) % MAX_NUMBER + 1

    async def write(self, catalog: str, experiment: Experiment) -> None:
        """Keeps an experiment in place of that of its name.

        Raises:
            StoreUnavailable: there was no reply in time; it may have been written.
        """
        definitions, _, token = _keys(catalog)

        async def put(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.hset(definitions, experiment.name, experiment.model_dump_json())
                pipeline.set(token, uuid.uuid4().hex)
                await pipeline.execute()

        await self._store.execute(put)

    async def delete(self, catalog: str, name: str) -> None:
        """Forgets an experiment; its counters expire.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        definitions, _, token = _keys(catalog)

        async def remove(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.hdel(definitions, name)
                pipeline.set(token, uuid.uuid4().hex)
                await pipeline.execute()

        await self._store.execute(remove)

    async def counts(
        self, catalog: str, arms: Mapping[_ArmKey, Sequence[str]]
    ) -> dict[_ArmKey, Counted]:
        """What was counted of recommendations.

        Args:
            catalog: a checked catalog name.
            arms: per number of an experiment and index of an arm the days, such as
                ``2026-01-31``; at least one.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        days = sorted({day for wanted in arms.values() for day in wanted})
        counts: dict[_ArmKey, Counter[str]] = {arm: Counter() for arm in arms}
        for day in days:
            for fields in await self._store.execute(_reading(catalog, day), for_request=False):
                for name, value in fields.items():
                    number, index, what = name.decode().split(".", 2)
                    arm = int(number), int(index)
                    if day in arms.get(arm, ()):
                        counts[arm][what] += int(value)
        return {
            arm: Counted(counts[arm], *await self._distinct(catalog, wanted, arm))
            for arm, wanted in arms.items()
        }

    async def _distinct(self, catalog: str, days: Sequence[str], arm: _ArmKey) -> tuple[int, int]:
        async def get(redis: Redis) -> tuple[int, int]:
            async with redis.pipeline(transaction=False) as pipeline:
                for what in ("items", "users"):
                    pipeline.pfcount(*(distinct_key(catalog, what, day, arm) for day in days))
                return cast("tuple[int, int]", tuple(await pipeline.execute()))

        return await self._store.execute(get, for_request=False)


def counters_key(catalog: str, partition: int, day: str) -> str:
    """The counters of a day's recommendations in one partition."""
    return f"{keys_of(catalog, partition).prefix}online:{day}"


def counted_key(catalog: str, worker: str) -> str:
    """The number of a worker's latest batch of counts."""
    return f"{keys_of(catalog, 0).prefix}counted:{worker}"


def distinct_key(catalog: str, what: str, day: str, arm: _ArmKey) -> str:
    """Where distinct ``items`` or ``users`` of a day's recommendations are counted."""
    return f"{keys_of(catalog, 0).prefix}{what}:{day}:{field(arm, '')[:-1]}"


def attributed_keys(catalog: str, recommendation_id: str, day: str) -> tuple[str, str]:
    """The marks of a recommendation, and the counters they are counted in."""
    partition = partition_of(recommendation_id)
    marks = f"{keys_of(catalog, partition).prefix}attributed:{recommendation_id}"
    return marks, counters_key(catalog, partition, day)


def field(arm: _ArmKey, what: str) -> str:
    """The name of a counter."""
    return f"{arm[0]}.{arm[1]}.{what}"


def _keys(catalog: str) -> tuple[str, str, str]:
    prefix = f"mr:{catalog}:{{experiments}}:"
    return prefix + "definitions", prefix + "number", prefix + "token"


def _reading(catalog: str, day: str) -> Callable[[Redis], Awaitable[list[Mapping[bytes, bytes]]]]:
    async def get(redis: Redis) -> list[Mapping[bytes, bytes]]:
        async with redis.pipeline(transaction=False) as pipeline:
            for partition in range(PARTITIONS):
                pipeline.hgetall(counters_key(catalog, partition, day))
            return cast("list[Mapping[bytes, bytes]]", await pipeline.execute())

    return get

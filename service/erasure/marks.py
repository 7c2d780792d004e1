"""Who was erased and may still be known to a version: in Redis, where every worker finds it.

Keys of a catalog: ``mr:<catalog>:{erased}:users`` is a hash of tombstones by digest of the user's
id, ``...:number`` the number of its latest change. A mark stays until no version is left that was
trained before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from redis.asyncio import Redis

from service.events import digest_of, partition_name, partition_of
from service.manifest import ManifestModel, erasures_name
from service.store.client import EventStore

_MARK = "mr_mark_1"
_UNMARK = "mr_unmark_1"


class Mark(NamedTuple):
    """The tombstone of a user: its partition, and the ms and sequence of its stream id."""

    partition: int
    ms: int
    sequence: int

    @classmethod
    def of(cls, partition: int, stream_id: str) -> "Mark":
        """The mark of a tombstone by its stream id. Raises ValueError for anything else."""
        ms, _, sequence = stream_id.partition("-")
        return cls(partition, int(ms), int(sequence))

    @classmethod
    def decode(cls, value: bytes) -> "Mark":
        """The mark of a value in the hash."""
        partition, _, stream_id = value.decode().partition(" ")
        return cls.of(int(partition[1:]), stream_id)

    def encode(self) -> str:
        """The value in the hash."""
        return f"{partition_name(self.partition)} {self.ms}-{self.sequence}"


Marks = Mapping[str, Mark]
"""By digest of the user's id."""


class Carried:
    """Which erasures a version was trained after."""

    def __init__(self, manifest: ManifestModel) -> None:
        """Reads the version's watermark."""
        self._watermark = manifest.watermark
        self._last: dict[int, Mark] = {}

    def __contains__(self, mark: Mark) -> bool:
        last = self._last.get(mark.partition)
        if last is None:
            # A version without a word of erasures was trained before all of them.
            said = self._watermark.get(erasures_name(mark.partition), "0-0")
            last = self._last[mark.partition] = Mark.of(mark.partition, said)
        return mark <= last


class Erased:
    """The marks of one catalog as far as one worker knows them."""

    def __init__(self) -> None:
        """Knows of none."""
        self._marks: dict[str, Mark] = {}

    def __bool__(self) -> bool:
        return bool(self._marks)

    def note(self, user_id: str, stream_id: str) -> None:
        """Takes the mark that a user's history bears."""
        self._marks[digest_of(user_id)] = Mark.of(partition_of(user_id), stream_id)

    def replace(self, marks: Marks) -> None:
        """Takes all marks there are."""
        self._marks = dict(marks)

    def add(self, marks: Marks) -> None:
        """Takes marks beside the known ones."""
        self._marks = {**self._marks, **marks}

    def hides(self, user_id: str, carried: Carried) -> bool:
        """Whether a user was erased after what a version was trained on."""
        mark = self._marks.get(digest_of(user_id))
        return mark is not None and mark not in carried


@dataclass(frozen=True)
class MarkNews:
    """All marks, and the number of their latest change."""

    marks: Marks
    number: int


class MarkStore:
    """Reads and writes the marks of all catalogs."""

    def __init__(self, store: EventStore) -> None:
        """Uses the connections of `store`."""
        self._store = store

    async def number(self, catalog: str, *, for_request: bool) -> int:
        """The number of the latest change, 0 where there was none.

        Args:
            catalog: a catalog name.
            for_request: whether a request waits for it: then it goes with what others read now.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        _, latest = _keys(catalog)
        if for_request:
            return int(await self._store.read(("GET", latest)) or 0)

        async def get(redis: Redis) -> bytes | None:
            return cast("bytes | None", await redis.get(latest))

        return int(await self._store.execute(get, for_request=False) or 0)

    async def read(self, catalog: str) -> MarkNews:
        """All marks.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        users, latest = _keys(catalog)

        async def both(redis: Redis) -> tuple[dict[bytes, bytes], bytes | None]:
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.hgetall(users)
                pipeline.get(latest)
                found = tuple(await pipeline.execute())
                return cast("tuple[dict[bytes, bytes], bytes | None]", found)

        found, number = await self._store.execute(both, for_request=False)
        marks = {digest.decode(): Mark.decode(value) for digest, value in found.items()}
        return MarkNews(marks, int(number or 0))

    async def put(self, catalog: str, user_id: str, mark: Mark) -> None:
        """Marks a user.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        given: list[str | int] = [digest_of(user_id), mark.encode()]
        await self._store.call_function(_MARK, [(_keys(catalog), given)])

    async def lift(self, catalog: str, versions: Sequence[ManifestModel]) -> int:
        """Lifts the marks that every version was trained after; returns how many.

        Args:
            catalog: a catalog name.
            versions: all that there are, the current one first of all; none lifts nothing.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        carried = [Carried(manifest) for manifest in versions]
        marks = (await self.read(catalog)).marks if versions else {}
        done = {
            digest: mark
            for digest, mark in marks.items()
            if all(mark in version for version in carried)
        }
        given: list[str | int] = []
        for digest, mark in done.items():
            given += [digest, mark.encode()]
        if not given:
            return 0
        [[lifted, _]] = await self._store.call_function(_UNMARK, [(_keys(catalog), given)])
        return lifted


def _keys(catalog: str) -> list[str]:
    prefix = f"mr:{catalog}:{{erased}}:"
    return [prefix + "users", prefix + "number"]

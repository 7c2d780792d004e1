"""What an installation of a given size needs in memory, from measured bytes per part."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.index.products import is_kept_transposed

# Measured on Valkey 9.1 with event ids of 36 bytes and other ids of about 10; longer ids add
# their length. Histories stay this small while zset-max-listpack-entries is at least their cap.
EVENT_BYTES = 100
EVENT_ID_BYTES = 160
HISTORY_BYTES = 200
HISTORY_ITEM_BYTES = 30
# Text, lookup and list entry of one id in Python: shared at the start, every worker's own after a
# swap.
ID_BYTES = 200
# The program with its libraries, which workers share, and the pages that each writes to.
PROGRAM_BYTES = 190 << 20
WORKER_BYTES = 20 << 20
VALUE_BYTES = 4

_DAY_S = 86_400


@dataclass(frozen=True)
class Load:
    """The size of an installation.

    Attributes:
        num_users: users of a version.
        num_items: items of a version.
        width: columns of the vectors, all members of the ensemble together.
        events_per_day: events that come in.
        active_users: users with events within the time that histories are kept.
        items_per_history: items a history holds, on average.
        drain_every_s: seconds between two drains of the events.
        dedupe_ttl_s: how long an event id is remembered.
        workers: processes that answer.
    """

    num_users: int
    num_items: int
    width: int
    events_per_day: int
    active_users: int
    items_per_history: int
    drain_every_s: int
    dedupe_ttl_s: int
    workers: int


@dataclass(frozen=True)
class Capacity:
    """Bytes by what they are for; all are estimates."""

    redis: Mapping[str, int]
    once: Mapping[str, int]
    shared: Mapping[str, int]
    per_worker: Mapping[str, int]
    workers: int

    @property
    def redis_bytes(self) -> int:
        """What Redis holds at most."""
        return sum(self.redis.values())

    @property
    def service_bytes(self) -> int:
        """What all workers hold together; twice the vectors, because a swap has two versions."""
        workers = self.workers * sum(self.per_worker.values())
        return sum(self.once.values()) + 2 * sum(self.shared.values()) + workers


def estimate(load: Load) -> Capacity:
    """The memory that a load needs."""
    waiting = load.events_per_day * load.drain_every_s // _DAY_S
    remembered = load.events_per_day * load.dedupe_ttl_s // _DAY_S
    history = HISTORY_BYTES + load.items_per_history * HISTORY_ITEM_BYTES
    num_ids = load.num_users + load.num_items
    item_bytes = load.num_items * load.width * VALUE_BYTES
    again = item_bytes if is_kept_transposed(load.num_items, item_bytes) else 0
    return Capacity(
        redis={
            "events that wait to be drained": waiting * EVENT_BYTES,
            "event ids that are remembered": remembered * EVENT_ID_BYTES,
            "histories": load.active_users * history,
        },
        once={"program": PROGRAM_BYTES},
        shared={"vectors": num_ids * load.width * VALUE_BYTES},
        per_worker={
            "changed pages": WORKER_BYTES,
            "ids": num_ids * ID_BYTES,
            "vectors of a small catalog, transposed": again,
        },
        workers=load.workers,
    )

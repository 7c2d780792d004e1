"""Events per second, beside what the machine could do at most."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from benchmarks.load.catalog import CATALOG, write_catalog
from benchmarks.load.driver import Outcome, each_once, post, run
from benchmarks.load.processes import Server as Process
from benchmarks.load.processes import empty_endpoint, service
from benchmarks.servers import Server
from service.artifact import set_current
from service.events import partition_name, partition_of

BATCH = 100
_USERS = _ITEMS = 1_000
_BATCH_CONNECTIONS = 8
_SINGLE_CONNECTIONS = 32
# On a busy machine a reply may take longer than a service should wait for it.
_PATIENT = {"MUTUALREC_REDIS_TIMEOUT_S": "10"}
_NOW_MS = 1_767_355_200_000

Event = dict[str, str | int]


@dataclass(frozen=True)
class Round:
    """Events, or requests, per second; the four were measured one after the other.

    `raw_cpu_s` and the like are processor seconds of the process that is measured, per event or
    request: of the pipelining client, of the service, of the empty endpoint. Where client, service
    and Redis have a core each, throughput goes with them; a machine that others use disturbs them
    less.
    """

    raw: float
    batches: float
    empty: float
    singles: float
    raw_cpu_s: float
    batches_cpu_s: float
    empty_cpu_s: float
    singles_cpu_s: float

    @property
    def batch_ratio(self) -> float:
        """Batches over HTTP against pipelines into Redis."""
        return self.batches / self.raw

    @property
    def single_ratio(self) -> float:
        """Single events over HTTP against requests that do nothing."""
        return self.singles / self.empty

    @property
    def batch_cpu_ratio(self) -> float:
        """The same by processor time."""
        return self.raw_cpu_s / self.batches_cpu_s

    @property
    def single_cpu_ratio(self) -> float:
        """The same by processor time."""
        return self.empty_cpu_s / self.singles_cpu_s


def rounds(
    home: Path, server: Server, num_events: int, num_singles: int, num_rounds: int
) -> list[Round]:
    """Measure in turns; the first round warms up and is not among the results."""
    version = write_catalog(home / "artifacts", _ITEMS, _USERS)
    set_current(home / "artifacts", CATALOG, version)
    body = json.dumps({"accepted": 1, "duplicates": 0, "rejected": []}).encode()
    with (
        service(home, server.url, variables=_PATIENT) as serving,
        empty_endpoint(home, body) as empty,
        Redis(port=server.port) as client,
    ):
        measured = [
            _round(client, serving, empty, events_of(number, num_events), num_singles)
            for number in range(num_rounds + 1)
        ]
    return measured[1:]


def events_of(number: int, count: int) -> list[Event]:
    """Distinct events of a round."""
    return [
        {
            "event_id": f"{number}-{n}",
            "user_id": f"u{n * 7919 % _USERS}",
            "item_id": f"i{n % _ITEMS}",
            "type": "view",
            "timestamp": _NOW_MS + n,
        }
        for n in range(count)
    ]


def _round(
    client: Redis, serving: Process, empty: Process, events: Sequence[Event], num_singles: int
) -> Round:
    batches = [
        post("/interactions", json.dumps(events[begin : begin + BATCH]).encode())
        for begin in range(0, len(events), BATCH)
    ]
    single = [
        json.dumps({**event, "event_id": f"s{event['event_id']}"}).encode()
        for event in events[:num_singles]
    ]
    client.flushall()
    before = time.process_time()
    raw = _raw(client, events)
    raw_cpu_s = (time.process_time() - before) / len(events)
    client.flushall()
    taken, batches_cpu_s = _load(serving, batches, _BATCH_CONNECTIONS)
    client.flushall()
    asked = [post("/empty", body) for body in single]
    nothing, empty_cpu_s = _load(empty, asked, _SINGLE_CONNECTIONS)
    asked = [post("/interactions", body) for body in single]
    singles, singles_cpu_s = _load(serving, asked, _SINGLE_CONNECTIONS)
    return Round(
        raw=raw,
        batches=BATCH * taken,
        empty=nothing,
        singles=singles,
        raw_cpu_s=raw_cpu_s,
        batches_cpu_s=batches_cpu_s / BATCH,
        empty_cpu_s=empty_cpu_s,
        singles_cpu_s=singles_cpu_s,
    )


def _load(server: Process, requests: Sequence[bytes], connections: int) -> tuple[float, float]:
    """Requests per second, and the server's processor seconds per request."""
    before = server.cpu_s()
    outcome = _checked(run(each_once(server.port, requests, connections)))
    return outcome.per_second, (server.cpu_s() - before) / len(requests)


def _raw(client: Redis, events: Sequence[Event]) -> float:
    """Events per second of XADD + ZADD in pipelines, with the fields that the service writes."""
    start = time.perf_counter()
    for begin in range(0, len(events), BATCH):
        pipeline = client.pipeline(transaction=False)
        for event in events[begin : begin + BATCH]:
            user_id, item_id, timestamp = event["user_id"], event["item_id"], event["timestamp"]
            partition = partition_name(partition_of(str(user_id)))
            fields: dict[str, str | int] = {
                "e": event["event_id"],
                "u": user_id,
                "i": item_id,
                "t": event["type"],
                "v": "1.0",
                "ts": timestamp,
                "r": "",
                "p": "",
                "c": "",
            }
            pipeline.xadd(f"raw:{{{partition}}}:events", fields)  # type: ignore[arg-type]
            pipeline.zadd(
                f"raw:{{{partition}}}:history:{user_id}", {f"+view\0{item_id}": timestamp}
            )
        pipeline.execute()
    return len(events) / (time.perf_counter() - start)


def _checked(outcome: Outcome) -> Outcome:
    if outcome.errors:
        statuses = sorted({status for status in outcome.statuses if status not in (200, 202)})
        raise RuntimeError(f"{outcome.errors} requests were answered by {statuses}")
    return outcome

"""How fast the service answers beside an endpoint that does nothing, and the memory it takes."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.load.catalog import CATALOG, write_catalog
from benchmarks.load.driver import Outcome, closed_loop, each_once, get, open_loop, post, run
from benchmarks.load.processes import Server, empty_endpoint, service
from benchmarks.servers import Server as RedisServer
from benchmarks.servers import running, valkey_program
from service.artifact import load_artifact, set_current

ASKED_USERS = 1000
EVENTS_PER_USER = 5
_WARM_UP_S = 2.0
_RECALL_USERS = 200
_RECALL_K = 20
_TRIES = 5

MIN_USERS = ASKED_USERS + _RECALL_USERS
"""Those who are asked for have events, those whose recall is measured have none."""


@dataclass(frozen=True)
class Size:
    """How large the catalog is and how long is measured.

    Attributes:
        items: in the catalog.
        users: in the catalog.
        seconds: of one round.
        rounds: how often both sides take turns.
        connections: at how many connections throughput is measured, one after the other.
        variables: settings of the service, by the names of their environment variables.
    """

    items: int
    users: int
    seconds: float
    rounds: int
    connections: Sequence[int] = (32,)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        """The name of the data set in rows."""
        return f"synthetic-{self.users}-{self.items}"


@dataclass
class Place:
    """A folder with a published catalog, and a server of events."""

    home: Path
    version: str
    redis: RedisServer


@dataclass
class Side:
    """Rounds of full load on one endpoint, and the processor time of a request in each."""

    path: str
    connections: int
    outcomes: list[Outcome] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def add(self, server: Server, seconds: float) -> None:
        """One more round."""
        asked = [get(self.path + f"u{number}") for number in range(ASKED_USERS)]
        before = server.cpu_s()
        outcome = run(closed_loop(server.port, asked, seconds, self.connections))
        self.cpu_s.append((server.cpu_s() - before) / max(1, len(outcome.statuses)))
        self.outcomes.append(outcome)

    @property
    def per_second(self) -> float:
        """Good answers per second, the median of the rounds."""
        return float(np.median([outcome.per_second for outcome in self.outcomes]))


class FullLoad:
    """Rounds of full load on the service and on the empty endpoint, at so many connections."""

    def __init__(self, connections: int) -> None:
        """Without a round yet."""
        self.service = Side("/recommend/", connections)
        self.returned = Side("/content/", connections)
        self.ready = Side("/recommend/", connections)

    def add(self, own: Server, empty: Server, seconds: float) -> None:
        """One more round of all three."""
        self.service.add(own, seconds)
        self.ready.add(empty, seconds)
        self.returned.add(empty, seconds)

    def ratios(self, other: Side) -> list[float]:
        """The service's answers per second over those of another side, round by round."""
        pairs = zip(self.service.outcomes, other.outcomes, strict=True)
        return [own.per_second / theirs.per_second for own, theirs in pairs]

    def cpu_ratios(self, other: Side) -> list[float]:
        """Another side's processor time per answer over the service's."""
        pairs = zip(self.service.cpu_s, other.cpu_s, strict=True)
        return [theirs / own for own, theirs in pairs]

    @property
    def errors(self) -> int:
        """Requests that the service did not answer well."""
        return sum(outcome.errors for outcome in self.service.outcomes)


@dataclass
class Throughput:
    """Full load by the number of connections, one entry per round of half load, and the recall."""

    full: Mapping[int, FullLoad]
    half: list[Outcome] = field(default_factory=list)
    recall: float = float("nan")


@contextmanager
def prepared(size: Size) -> Iterator[Place]:
    """A current version of that size, and a server of events."""
    with tempfile.TemporaryDirectory(prefix="service-load-") as folder:
        home = Path(folder)
        version = write_catalog(home / "artifacts", size.items, size.users)
        set_current(home / "artifacts", CATALOG, version)
        options = {"zset_max_listpack_entries": "512"}
        with running(valkey_program(), home / "redis", **options) as redis:
            yield Place(home, version, redis)


def asked_users() -> list[bytes]:
    """Requests of recommendations for users who have events."""
    return [get(f"/recommend/u{number}") for number in range(ASKED_USERS)]


def events_of_users(num_items: int, seed: int = 1) -> list[bytes]:
    """Requests that post events which no version knows, one per user."""
    rng = np.random.default_rng(seed)
    bodies = []
    for number in range(ASKED_USERS):
        rows = rng.choice(num_items, EVENTS_PER_USER, replace=False)
        events = [{"user_id": f"u{number}", "item_id": f"i{row}"} for row in rows]
        bodies.append(post("/interactions", json.dumps(events).encode()))
    return bodies


def give_events(port: int, num_items: int) -> None:
    """Posts events of the users who are asked for.

    Raises:
        RuntimeError: the service refused some every time; a busy machine makes Redis late.
    """
    for _ in range(_TRIES):
        outcome = run(each_once(port, events_of_users(num_items)))
        if not outcome.errors:
            return
    raise RuntimeError(f"{outcome.errors} batches of events were refused")


def throughput(size: Size) -> Throughput:
    """Full load on the service and on the empty endpoint in turns, then half of it."""
    measured = Throughput({number: FullLoad(number) for number in size.connections})
    with prepared(size) as place, ExitStack() as stack:
        own = stack.enter_context(service(place.home, place.redis.url, variables=size.variables))
        give_events(own.port, size.items)
        empty = stack.enter_context(empty_endpoint(place.home, own.get("/recommend/u0")))
        for server in (own, empty):
            run(closed_loop(server.port, asked_users(), _WARM_UP_S))
        for _ in range(size.rounds):
            for load in measured.full.values():
                load.add(own, empty, size.seconds)
        most = max(load.service.per_second for load in measured.full.values())
        for _ in range(size.rounds):
            outcome = run(open_loop(own.port, asked_users(), most / 2, size.seconds))
            measured.half.append(outcome)
        measured.recall = _recall(own, place)
    return measured


def _recall(server: Server, place: Place) -> float:
    """The share of the exact best items that come, for users without events."""
    artifact = load_artifact(place.home / "artifacts", CATALOG, place.version)
    rows = np.arange(ASKED_USERS, ASKED_USERS + _RECALL_USERS) % len(artifact.users)
    found = 0
    for row in rows:
        scores = artifact.items @ artifact.users[row]
        best = {f"i{item}" for item in np.argpartition(-scores, _RECALL_K)[:_RECALL_K]}
        path = f"/recommend/u{row}?k={_RECALL_K}&exclude_seen=false"
        items = json.loads(server.get(path))["items"]
        found += len(best & {item["item_id"] for item in items})
    return found / (len(rows) * _RECALL_K)

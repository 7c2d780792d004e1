"""A published catalog whose trainers and schedulers are killed, and the count of what is left."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis

from service.artifact import current_version, list_versions, load_artifact
from service.events import PARTITIONS, Interaction, keys_of
from service.scheduling.status import Status, read_status
from service.settings import Settings
from service.store.client import EventStore
from training.event_log import read_events, verify

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "mutualrec.main"]
LEASE_TTL_S = 1.0
NOW_MS = 1_793_000_000_000


@dataclass(frozen=True)
class Found:
    """What is there when everything has come to rest.

    Attributes:
        events: distinct events in the log.
        lost: events that were acknowledged and are not in the log.
        unknown: events in the log that were never sent.
        waiting: entries left in the streams.
        faults: what `mutualrec events verify` complains about.
        versions: versions that load, all of them.
        current: the version that CURRENT names.
    """

    events: int
    lost: int
    unknown: int
    waiting: int
    faults: Sequence[str]
    versions: int
    current: str


@dataclass
class World:
    """The workspace, its Redis, and the ids of the events that were acknowledged."""

    home: Path
    url: str
    client: Redis
    sent: list[str] = field(default_factory=list)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def send(self, count: int) -> None:
        """Has the service's own store take events of known and of new users."""
        first = len(self.sent)
        events = [
            Interaction.model_validate(
                {
                    "event_id": f"e{number}",
                    "user_id": f"user-{number % 400:04}",
                    "item_id": f"item-{1 + number * 7 % 100:03}",
                    "type": "view",
                },
                context={"now_ms": NOW_MS},
            )
            for number in range(first, first + count)
        ]

        async def take() -> list[bool]:
            store = EventStore(self.url, Settings.load({}, redis_timeout_s=10.0))
            try:
                return await store.append("default", events, {})
            finally:
                await store.close()

        assert all(asyncio.run(take()))
        self.sent += [str(event.event_id) for event in events]

    def start(self, *arguments: str, **settings: object) -> subprocess.Popen[bytes]:
        """Starts a command of its own session, so that a kill reaches nothing else."""
        given = {f"MUTUALREC_{name.upper()}": str(value) for name, value in settings.items()}
        with (self.home / "processes.log").open("ab") as log:
            process = subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=ROOT,
                env=self.environment | given,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def end_all(self) -> None:
        """Kills what is left, trainers that outlived their scheduler included."""
        for process in self.started:
            process.kill()
            process.wait()
        for pid in trainers_of(self.home):
            os.kill(pid, signal.SIGKILL)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of every process."""
        return {
            **{name: value for name, value in os.environ.items() if "MUTUALREC" not in name},
            "MUTUALREC_HOME": str(self.home),
            "MUTUALREC_REDIS_URL": self.url,
            "MUTUALREC_LEASE_TTL_S": str(LEASE_TTL_S),
            "OMP_NUM_THREADS": "1",
        }

    @property
    def status(self) -> Status:
        """What Redis knows of the training."""
        return read_status(self.client, "default")

    def find(self) -> Found:
        """Counts.

        Raises:
            ArtifactError: some version cannot be loaded.
        """
        root, log = self.home / "artifacts", self.home / "events" / "default"
        ids = set(read_events(log).column("event_id").to_pylist())
        versions = list_versions(root, "default")
        for version in versions:
            load_artifact(root, "default", version)
        return Found(
            events=len(ids),
            lost=len(set(self.sent) - ids),
            unknown=len(ids - set(self.sent)),
            waiting=sum(self.client.xlen(keys_of("default", p).events) for p in range(PARTITIONS)),
            faults=verify(log).faults,
            versions=len(versions),
            current=str(current_version(root, "default")),
        )


def trainers_of(home: Path) -> list[int]:
    """Processes that retrain the workspace now."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            is_here = f"MUTUALREC_HOME={home}\0".encode() in (process / "environ").read_bytes()
        except OSError:
            continue
        if is_here and b"retrain" in words:
            found.append(int(process.name))
    return found


def until(condition: Callable[[], object], seconds: float = 120.0) -> float:
    """Waits, and returns how long."""
    started = time.monotonic()
    while not condition():
        waited = time.monotonic() - started
        assert waited < seconds, f"it did not happen within {seconds} s"
        time.sleep(0.01)
    return time.monotonic() - started

"""A catalog published from the demo data, and the Redis its events come through."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from mutualrec.as_served import AsServed
from service.artifact import Artifact, current_version, load_artifact
from service.events import Interaction, encode_event, item_bodies_key, keys_of, partition_of
from training.gate.limits import Limits
from training.job import Policy
from training.retrain import Outcome, retrain
from training.trainer import EpochReport

NOW_MS = 1_793_000_000_000
REFUSING = Policy(limits=Limits(max_norm_change=1.0, latency_floor_ms=1e6))
"""No candidate has vectors of exactly the champion's lengths."""
LENIENT = Policy(
    limits=Limits(
        max_loss=1.0, min_coverage=0.0, max_popularity=1e6, max_norm_change=1e6, max_empty=1.0,
        min_users=10_000, min_kept=0.0, latency_floor_ms=1e6,
    )
)  # fmt: skip


@contextmanager
def silent(_name: str, _epochs: int, _metric: str) -> Iterator[Callable[[EpochReport], None]]:
    yield lambda _: None


@dataclass
class Shop:
    """`home` has the folders of a workspace, `data` is the base dataset."""

    client: redis.Redis
    home: Path
    data: Path

    def post(self, *events: dict[str, object]) -> None:
        for event in events:
            values = {"type": "view"} | event
            taken = Interaction.model_validate(values, context={"now_ms": NOW_MS})
            stream = keys_of("default", partition_of(taken.user_id)).events
            self.client.xadd(stream, encode_event(taken))

    def say(self, item_id: str, **state: object) -> None:
        """What the service writes when an item is put."""
        body = {"deleted": False, "hidden": False, "metadata": {}, "features": {}} | state
        self.client.hset(item_bodies_key("default"), item_id, json.dumps(body))

    def post_many(self, number: int, *, users: int = 40) -> None:
        """Every user has to do with an item of their own choice, at a moment of its own."""
        self.post(
            *(
                {
                    "event_id": f"many-{number}-{user}",
                    "user_id": f"user-{user + 1:03d}",
                    "item_id": f"item-{(7 * user + 11 * number) % 60 + 1:03d}",
                    "timestamp": NOW_MS - 1_000_000 + 1000 * number + user,
                }
                for user in range(users)
            )
        )

    # What is asked for goes to `retrain` as it is.
    def retrain(self, progress=silent, **asked) -> Outcome:  # type: ignore[no-untyped-def]
        return retrain(
            "default",
            self.client,
            artifacts=self.home / "artifacts",
            events=self.home / "events",
            workspace=self.home / "retraining",
            cache=self.home / "cache",
            progress=progress,
            serve=AsServed,
            **asked,
        )

    @property
    def current(self) -> str:
        version = current_version(self.home / "artifacts", "default")
        assert version is not None
        return version

    @property
    def artifact(self) -> Artifact:
        return load_artifact(self.home / "artifacts", "default", self.current)

    def seen(self, user_id: str) -> set[str]:
        artifact = self.artifact
        rows = artifact.seen(artifact.user_ids.index(user_id))
        return {artifact.item_ids[row] for row in rows}

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import redis

from service.artifact import Artifact, Fence, current_version, load_artifact
from service.errors import TrainerFenced
from service.events import (
    PARTITIONS,
    Interaction,
    encode_event,
    item_bodies_key,
    keys_of,
    partition_of,
)
from training.config import RunConfig
from training.data.dataset import Dataset
from training.data.importers.demo import import_demo
from training.ensemble_folder import build_ensemble
from training.errors import RetrainingBusy
from training.event_log import read_events, watermark_of
from training.publish import publish
from training.retrain import Outcome, retrain
from training.run_folder import RunFolder
from training.runs import train_run
from training.trainer import EpochReport

NOW_MS = 1_793_000_000_000


@contextmanager
def silent(_name: str, _epochs: int, _metric: str) -> Iterator[Callable[[EpochReport], None]]:
    yield lambda _: None


@dataclass
class Shop:
    """A catalog published from the demo data, and the Redis its events come through."""

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

    def retrain(self, progress=silent, fence: Fence | None = None) -> Outcome:
        return retrain(
            "default",
            self.client,
            artifacts=self.home / "artifacts",
            events=self.home / "events",
            workspace=self.home / "retraining",
            cache=self.home / "cache",
            progress=progress,
            fence=fence,
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


@pytest.fixture
def shop(
    redis_url: str,
    demo_dataset: Dataset,
    demo_folder: Path,
    run_config: Callable[..., RunConfig],
    tmp_path: Path,
) -> Iterator[Shop]:
    runs = []
    data = tmp_path / "data"
    shutil.copytree(demo_folder, data)
    for model in ("bpr", "itemcf"):
        runs.append(RunFolder(tmp_path / model))
        train_run(demo_dataset, run_config(model, max_epochs=2, eval_every=1), runs[-1])
    chosen = build_ensemble(demo_dataset, runs, tmp_path / "ensemble", weights=[0.2, 1.0])
    publish(demo_dataset, chosen, tmp_path / "artifacts", "default", dataset_folder=data)
    with redis.Redis.from_url(redis_url) as client:
        yield Shop(client, tmp_path, data)


def test_without_events_nothing_is_published(shop):
    before = shop.current
    assert shop.retrain() == Outcome(None, 0)
    assert shop.current == before


def test_a_new_version_knows_the_new_user_and_the_new_item(shop):
    shop.post(
        {"user_id": "newcomer", "item_id": "item-001"},
        {"user_id": "newcomer", "item_id": "never seen before"},
    )
    outcome = shop.retrain()
    assert outcome == Outcome(shop.current, 2)
    assert shop.seen("newcomer") == {"item-001", "never seen before"}


def test_a_second_retraining_finds_nothing_new_until_an_event_comes(shop):
    shop.post({"user_id": "newcomer", "item_id": "item-001"})
    first = shop.retrain().version
    assert shop.retrain().version is None
    shop.post({"user_id": "newcomer", "item_id": "item-002"})
    second = shop.retrain().version
    assert (first is None, second is None) == (False, False)
    assert shop.seen("newcomer") == {"item-001", "item-002"}


def test_other_data_in_the_base_folder_is_something_new_to_learn_from(shop):
    shop.post({"user_id": "newcomer", "item_id": "item-001"})
    shop.retrain()
    import_demo(shop.data, num_users=151, num_items=60, seed=1)
    outcome = shop.retrain()
    assert outcome == Outcome(shop.current, 1)
    assert {"user-151", "newcomer"} <= set(shop.artifact.user_ids)
    assert shop.retrain().version is None


def test_the_same_data_imported_again_is_nothing_new(shop):
    import_demo(shop.data, num_users=150, num_items=60, seed=1)
    assert shop.retrain().version is None


def test_the_watermark_of_a_version_is_the_end_of_the_log_it_learned_from(shop):
    shop.post({"user_id": "a", "item_id": "item-001"}, {"user_id": "b", "item_id": "item-001"})
    shop.retrain()
    watermark = shop.artifact.manifest.watermark
    assert watermark == watermark_of(shop.home / "events" / "default")
    assert read_events(shop.home / "events" / "default", watermark).num_rows == 2


def test_events_are_in_the_log_and_out_of_redis_afterwards(shop):
    shop.post({"user_id": "a", "item_id": "item-001"})
    shop.retrain()
    streams = [keys_of("default", partition).events for partition in range(PARTITIONS)]
    assert sum(shop.client.xlen(stream) for stream in streams) == 0
    log: pa.Table = read_events(shop.home / "events" / "default")
    assert log.column("user_id").to_pylist() == ["a"]


def test_a_retraining_that_died_while_training_goes_on_from_the_log(shop):
    @contextmanager
    def dying(name, _epochs, _metric):
        if name.endswith("itemcf"):
            raise KeyboardInterrupt
        yield lambda _: None

    shop.post({"user_id": "newcomer", "item_id": "item-001"})
    before = shop.current
    with pytest.raises(KeyboardInterrupt):
        shop.retrain(progress=dying)
    assert shop.current == before
    assert shop.retrain().version == shop.current != before
    assert shop.seen("newcomer") == {"item-001"}


def test_two_retrainings_at_once_are_refused_with_the_process_that_is_at_it(shop):
    refused = []

    @contextmanager
    def meanwhile(_name, _epochs, _metric):
        with pytest.raises(RetrainingBusy) as failure:
            shop.retrain()
        refused.append(str(failure.value))
        yield lambda _: None

    shop.post({"user_id": "newcomer", "item_id": "item-001"})
    assert shop.retrain(progress=meanwhile).version == shop.current
    assert len(refused) == 2
    assert f"process {os.getpid()} " in refused[0]


def test_events_of_a_type_the_data_does_not_know_are_left_out_and_counted(shop, caplog):
    shop.post(
        {"user_id": "newcomer", "item_id": "item-001"},
        {"user_id": "newcomer", "item_id": "item-002", "type": "hide"},
    )
    shop.retrain()
    assert shop.seen("newcomer") == {"item-001"}
    assert "1 logged events cannot be learned from: [('event type is unknown', 1)]" in caplog.text


def test_a_trainer_whose_lease_is_gone_when_it_wants_to_publish_changes_nothing(shop):
    def gone() -> None:
        raise TrainerFenced("the lease went to another one")

    shop.post({"user_id": "newcomer", "item_id": "item-001"})
    before = shop.current
    with pytest.raises(TrainerFenced):
        shop.retrain(fence=Fence(2, gone))
    with pytest.raises(TrainerFenced, match="one with token 2 has begun"):
        shop.retrain(fence=Fence(1, lambda: None))
    assert shop.current == before
    assert shop.retrain(fence=Fence(3, lambda: None)).version == shop.current


def vector(shop, value: float = 1.0) -> list[float]:
    return [value] + [0.0] * (shop.artifact.features["image"].shape[1] - 1)


def metadata(shop, item_id: str) -> dict[str, object]:
    artifact = shop.artifact
    return artifact.item_metadata.slice(artifact.item_ids.index(item_id), 1).to_pylist()[0]


def test_what_was_said_of_an_item_is_learned_from_once_someone_had_to_do_with_it(shop):
    features = {"image": vector(shop, 2.0), "text": [1.0]}
    shop.say("lamp", metadata={"category": "Seating"}, features=features)
    assert shop.retrain().version is None
    shop.post({"user_id": "newcomer", "item_id": "lamp"})
    shop.retrain()
    artifact = shop.artifact
    row = artifact.item_ids.index("lamp")
    np.testing.assert_array_equal(artifact.features["image"][row], vector(shop))
    # The text vector has a wrong width: it was given to a version with other data.
    assert not artifact.features["text"][row].any()
    assert metadata(shop, "lamp")["category"] == "Seating"


def test_a_vector_given_to_a_known_item_is_something_new_to_learn_from(shop):
    item = shop.artifact.item_ids[0]
    shop.say(item, features={"image": vector(shop)})
    first = shop.retrain().version
    np.testing.assert_array_equal(shop.artifact.features["image"][0], vector(shop))
    assert (first is None, shop.retrain().version) == (False, None)
    shop.say(item, metadata={"category": None}, features={"image": vector(shop, -1.0)})
    assert shop.retrain().version == shop.current
    assert metadata(shop, item)["category"] is None


def test_what_was_said_of_items_stays_when_redis_loses_its_data(shop):
    shop.say("lamp", features={"image": vector(shop)})
    shop.retrain()
    shop.client.flushall()
    shop.post({"user_id": "newcomer", "item_id": "lamp"})
    shop.retrain()
    assert shop.artifact.features["image"][shop.artifact.item_ids.index("lamp")].any()


def test_deleted_items_and_states_that_are_none_are_passed_over(shop, caplog):
    deleted, damaged = shop.artifact.item_ids[:2]
    shop.say(deleted, deleted=True, features={"image": vector(shop)})
    shop.client.hset(item_bodies_key("default"), damaged, "[]")
    assert shop.retrain().version is None
    assert "cannot be learned from" in caplog.text

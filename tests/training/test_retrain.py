import os
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pytest
from shop import LENIENT

from service.artifact import Fence
from service.errors import TrainerFenced
from service.events import PARTITIONS, digest_of, item_bodies_key, keys_of, partition_of
from training.data.importers.demo import import_demo
from training.errors import RetrainingBusy
from training.event_log import read_events, watermark_of
from training.retrain import Outcome

pytestmark = pytest.mark.any_server


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


def test_an_erased_user_makes_a_retraining_whose_version_does_not_know_them(shop):
    shop.post({"user_id": "newcomer", "item_id": "item-001"})
    shop.retrain()
    old = shop.artifact.user_ids[0]
    for user_id in ("newcomer", old):
        erase_at = {"k": "user", "d": digest_of(user_id), "l": f"{2**52}-0", "at": 2**52}
        shop.client.xadd(keys_of("default", partition_of(user_id)).erasures, erase_at)
    assert shop.retrain().version is not None
    assert {"newcomer", old} & set(shop.artifact.user_ids) == set()
    assert shop.retrain().version is None


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
    # Of another number of users the demo draws other interactions, so that most are gone.
    outcome = shop.retrain(policy=LENIENT)
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

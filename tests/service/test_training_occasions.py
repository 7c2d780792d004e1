"""What makes a scheduler train, beside the clock, and what holds it back."""

import pytest
import redis

from service.events import Interaction, encode_event, keys_of, partition_of
from service.scheduling.keys import TrainingKeys
from service.scheduling.lease import acquire
from service.scheduling.occasions import Occasions, Pauses, Reason
from service.scheduling.recording import RunRecord
from service.store.connection import connect_blocking

KEYS = TrainingKeys("default")
NOW_MS = 1_793_000_000_000
EVENTS, ASKED = Reason("5 new events"), Reason("it was asked for", "w1")


@pytest.fixture
def client(redis_url: str):
    with connect_blocking(redis_url) as client:
        yield client


@pytest.fixture
def after_three(client) -> Occasions:
    return Occasions(client, after_events=3)


def post(client: redis.Redis, count: int) -> None:
    for number in range(count):
        event = Interaction.model_validate(
            {"user_id": f"u{number}", "item_id": "i"}, context={"now_ms": NOW_MS}
        )
        client.xadd(keys_of("default", partition_of(event.user_id)).events, encode_event(event))


def train(client: redis.Redis, exit_code: int) -> None:
    lease = acquire(client, "default", ttl_s=60, used_token=0)
    record = RunRecord(client, lease, lambda: NOW_MS)
    record.begin()
    record.end(exit_code, "", None)
    lease.release()


def test_enough_new_events_are_a_reason(client, after_three):
    post(client, 2)
    assert after_three.find("default") is None
    post(client, 1)
    assert after_three.find("default") == Reason("3 new events")


def test_events_are_new_until_a_training_has_dealt_with_them(client, after_three):
    post(client, 4)
    train(client, exit_code=1)
    assert after_three.find("default") == Reason("4 new events")
    train(client, exit_code=20)
    assert after_three.find("default") is None
    post(client, 3)
    assert after_three.find("default") == Reason("3 new events")


def test_all_events_are_new_to_a_server_that_lost_its_data(client, after_three):
    client.hset(KEYS.run, mapping={"token": 4, "learned": 1_000_000})
    post(client, 3)
    assert after_three.find("default") == Reason("3 new events")


def test_without_a_number_events_are_no_reason(client):
    post(client, 50)
    assert Occasions(client, after_events=None).find("default") is None


def test_being_asked_is_a_reason_until_a_training_answers(client, after_three):
    client.hset(KEYS.request, mapping={"id": "w1", "requested_at_ms": NOW_MS})
    assert after_three.find("default") == Reason("it was asked for", "w1")
    train(client, exit_code=10)
    assert after_three.find("default") is None


def test_while_somebody_trains_there_is_no_reason(client, after_three):
    client.hset(KEYS.request, mapping={"id": "w1", "requested_at_ms": NOW_MS})
    acquire(client, "default", ttl_s=60, used_token=0)
    assert after_three.find("default") is None


def test_pauses_after_failures_grow_to_an_hour_and_end_with_a_success():
    now = 0.0
    pauses = Pauses(lambda: now)
    pauses.ended("default", EVENTS, -9)
    assert pauses.hold_back("default", EVENTS)
    now = 60.0
    assert not pauses.hold_back("default", EVENTS)
    for _ in range(10):
        pauses.ended("default", EVENTS, 1)
    now = 60.0 + 3599.0
    assert pauses.hold_back("default", EVENTS)
    assert not pauses.hold_back("other", EVENTS)
    pauses.ended("default", EVENTS, 10)
    assert not pauses.hold_back("default", EVENTS)


def test_a_new_request_does_not_wait_but_one_that_failed_does():
    pauses = Pauses(lambda: 0.0)
    pauses.ended("default", EVENTS, 1)
    assert not pauses.hold_back("default", ASKED)
    pauses.ended("default", ASKED, 1)
    assert pauses.hold_back("default", ASKED)
    assert not pauses.hold_back("default", Reason("it was asked for", "w2"))

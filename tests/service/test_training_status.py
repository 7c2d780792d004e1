"""What is recorded of trainings, and what it means."""

import pytest
import redis

from service.events import Interaction, encode_event, keys_of, partition_of
from service.scheduling.keys import TrainingKeys
from service.scheduling.lease import acquire
from service.scheduling.recording import RunRecord, events_ever
from service.scheduling.status import Judgement, read_status
from service.store.connection import connect_blocking

KEYS = TrainingKeys("default")
NOW_MS = 1_793_000_000_000


@pytest.fixture
def client(redis_url: str):
    with connect_blocking(redis_url) as client:
        yield client


def post(client: redis.Redis, *users: str) -> None:
    for user in users:
        event = Interaction.model_validate(
            {"user_id": user, "item_id": "i"}, context={"now_ms": NOW_MS}
        )
        client.xadd(keys_of("default", partition_of(user)).events, encode_event(event))


def wish(client: redis.Redis, request_id: str) -> None:
    client.hset(KEYS.request, mapping={"id": request_id, "requested_at_ms": NOW_MS})


def run(client: redis.Redis) -> RunRecord:
    lease = acquire(client, "default", ttl_s=60.0, used_token=0)
    return RunRecord(client, lease, lambda: NOW_MS)


def test_nothing_is_known_of_a_catalog_that_was_never_trained(client):
    status = read_status(client, "default")
    assert (status.run, status.run_state, status.wish, status.schedule) == (None,) * 4
    assert (status.is_wished, status.learned) == (False, 0)


def test_events_are_counted_from_the_beginning_drained_ones_included(client):
    post(client, "a", "b", "c")
    client.xtrim(keys_of("default", partition_of("a")).events, maxlen=0)
    assert events_ever(client, "default") == 3


@pytest.mark.parametrize(
    ("exit_code", "result", "learned"),
    [
        (0, "promoted", 2),
        (10, "nothing_new", 2),
        (20, "refused", 2),
        (30, "pinned", 2),
        (1, "failed", 0),
    ],
)
def test_a_run_that_judged_its_events_has_dealt_with_them(client, exit_code, result, learned):
    post(client, "a", "b")
    record = run(client)
    record.begin()
    assert read_status(client, "default").run_state == "running"
    record.end(exit_code, "because", "v1")
    status = read_status(client, "default")
    assert status.run is not None
    assert (status.run_state, status.run.result, status.learned) == ("finished", result, learned)


def test_what_the_gate_said_is_kept_until_the_next_run(client):
    first = run(client)
    first.begin()
    reasons = ("the candidate ranks worse: ndcg@20 0.2 to 0.1 \u2026", "too few items")
    said = Judgement("v2", "refused", reasons, pinned_to="v1")
    first.end(20, "refused", "v1", said)
    assert read_status(client, "default").run.judgement == said
    client.delete(KEYS.lease)
    second = run(client)
    second.begin()
    assert read_status(client, "default").run.judgement is None
    second.end(1, "failed", "v1")
    assert read_status(client, "default").run.judgement is None


def test_what_was_dealt_with_is_not_forgotten_when_the_next_run_begins(client):
    post(client, "a", "b")
    first = run(client)
    first.begin()
    first.end(0, "promoted", "v1")
    client.delete(KEYS.lease)
    run(client).begin()
    assert read_status(client, "default").learned == 2


def test_a_run_without_an_end_whose_lease_is_gone_has_died(client):
    run(client).begin()
    client.delete(KEYS.lease)
    assert read_status(client, "default").run_state == "died"


def test_a_trainer_that_was_replaced_cannot_overwrite_the_newer_run(client):
    late = run(client)
    late.begin()
    client.delete(KEYS.lease)
    run(client).begin()
    late.end(1, "too late", None)
    status = read_status(client, "default")
    assert status.run is not None
    assert (status.run.token, status.run_state) == (2, "running")


def test_a_wish_is_fulfilled_by_the_run_that_begins_after_it(client):
    record = run(client)
    record.begin()
    wish(client, "w1")
    record.end(0, "promoted", "v1")
    assert read_status(client, "default").is_wished
    client.delete(KEYS.lease)
    record = run(client)
    record.begin()
    assert not read_status(client, "default").is_wished
    record.end(1, "failed", "v1")
    assert not read_status(client, "default").is_wished


def test_a_wish_outlives_the_run_that_died_with_it(client):
    wish(client, "w1")
    run(client).begin()
    client.delete(KEYS.lease)
    assert read_status(client, "default").is_wished

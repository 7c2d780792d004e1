"""What `mutualrec retrain` says and which exit code it ends with."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from service.artifact import VERSIONS_CHANNEL, current_version
from service.scheduling.status import Judgement, read_status

pytestmark = pytest.mark.any_server

REFUSING = ("--gate", "max_norm_change=1")


@pytest.fixture
def client(redis_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MUTUALREC_REDIS_URL", redis_url)
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def happened(invoke, workspace: Path, client) -> Path:  # noqa: ARG001
    """A workspace with a published version and events that it has not learned from."""
    events = workspace / "events.jsonl"
    rows = [
        {
            "event_id": f"e{n}",
            "user_id": f"user-{n % 30 + 1:03d}",
            "item_id": f"item-{n % 50 + 1:03d}",
            "type": "view",
            "timestamp": 1_793_000_000_000 + n,
        }
        for n in range(60)
    ]
    events.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert invoke("events", "import", events).code == 0
    return workspace / "var" / "artifacts"


def judgement(client) -> Judgement | None:
    run = read_status(client, "default").run
    assert run is not None
    return run.judgement


def test_a_promoted_version_is_announced_and_the_steps_are_told(invoke, happened, client):
    before = current_version(happened, "default")
    with client.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(VERSIONS_CHANNEL)
        subscription.get_message(timeout=5)
        result = invoke("retrain", "--gate", "max_loss=1", "--gate", "min_users=1000")
        said = subscription.get_message(timeout=5)
    assert result.code == 0, result
    assert "step 1 of 7: drain the events" in result.out
    assert "60 events in the log" in result.out
    current = current_version(happened, "default")
    assert current not in (None, before)
    assert judgement(client) == Judgement(current, "accepted", ())
    assert said["data"] == b"default"


def test_a_refusal_is_20_then_10_until_it_is_forced(invoke, happened, client):
    before = current_version(happened, "default")
    refused = invoke("retrain", *REFUSING)
    assert refused.code == 20, refused
    first = judgement(client)
    assert (first.decision, first.version in refused.out) == ("refused", True)
    assert "changes by a factor of" in first.reasons[0]
    assert "the gate refused version" in refused.out
    assert "changes by a factor of" in refused.out
    again = invoke("retrain")
    assert again.code == 10
    assert "nothing new since version" in again.out
    assert judgement(client) == first
    assert current_version(happened, "default") == before
    listed = invoke("versions").out
    assert "refused" in listed
    assert "vectors changes by a factor of" in listed
    forced = invoke("retrain", "--force")
    assert forced.code == 0
    assert "though the gate refused it" in forced.out
    assert judgement(client) == replace(first, decision="forced")
    assert current_version(happened, "default") != before


def test_under_a_pin_it_is_30_then_10_until_the_pin_is_removed(invoke, happened, client):
    lenient = ("--gate", "max_loss=1", "--gate", "min_users=1000")
    assert invoke("versions", "pin").code == 0
    pinned = current_version(happened, "default")
    held = invoke("retrain", *lenient)
    assert held.code == 30, held
    said = judgement(client)
    assert said == Judgement(said.version, "accepted", (), pinned)
    assert f"version {said.version} was kept" in held.out
    assert f"the catalog is pinned to {pinned}" in held.out
    assert "`mutualrec versions unpin`" in held.out
    assert read_status(client, "default").run.result == "pinned"
    again = invoke("retrain", *lenient)
    assert (again.code, current_version(happened, "default")) == (10, pinned)
    assert f"nothing new since version {said.version} was kept" in again.out
    listed = invoke("versions").out
    assert "held" in listed
    assert invoke("versions", "unpin").code == 0
    assert invoke("retrain", *lenient).code == 0
    assert current_version(happened, "default") == said.version


@pytest.mark.parametrize(
    ("limit", "message"),
    [("max_los=0.1", "known: holdout_share"), ("max_loss=2", "max_loss"), ("max_loss", "name=va")],
)
def test_a_limit_that_makes_no_sense_is_refused_before_anything_is_done(
    invoke, happened, limit, message
):
    result = invoke("retrain", "--gate", limit)
    assert result.code in (1, 2)
    assert message in result.err
    assert not list((happened.parent / "retraining").glob("default/*/dataset"))


def test_the_limits_of_the_setting_count(invoke, happened, monkeypatch):  # noqa: ARG001
    monkeypatch.setenv("MUTUALREC_GATE", "max_norm_change=1, min_users=1000")
    assert invoke("retrain").code == 20


def test_a_limit_given_as_an_option_wins_over_the_setting(invoke, happened, monkeypatch):  # noqa: ARG001
    monkeypatch.setenv("MUTUALREC_GATE", "max_norm_change=1, min_users=1000")
    assert invoke("retrain", "--gate", "max_norm_change=1000").code == 0

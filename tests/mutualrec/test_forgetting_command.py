import json
import shutil
from pathlib import Path

import pytest
import redis

from mutualrec.valkey import private_valkey
from service.artifact import erasures_name, set_current
from service.events import Interaction, encode_event, keys_of, partition_of

EVENT = {"event_id": "a", "user_id": "u", "item_id": "i", "type": "t", "timestamp": 1767355200000}


@pytest.fixture
def server(tmp_path):
    with private_valkey(tmp_path / "var" / "redis") as url, redis.Redis.from_url(url) as client:
        yield client


@pytest.fixture
def sent(server, invoke):
    """An event in the log, another one that waits, and a history."""
    keys = keys_of("default", partition_of("u"))
    for event_id in ("a", "b"):
        values = EVENT | {"event_id": event_id}
        event = Interaction.model_validate(values, context={"now_ms": EVENT["timestamp"]})
        server.xadd(keys.events, encode_event(event))
        if event_id == "a":
            assert invoke("events", "drain").code == 0
    server.zadd(keys.history("u"), {"+t\0i": EVENT["timestamp"]})


@pytest.mark.usefixtures("sent")
def test_all_that_is_known_of_a_user_is_exported_as_json(invoke):
    told = json.loads(invoke("users", "export", "u").out)
    assert [entry["item_id"] for entry in told["history"]] == ["i"]
    assert [event["event_id"] for event in told["waiting_events"]] == ["b"]
    assert told["logged_events"] == [EVENT | {"value": 1.0}]
    assert told["versions"] == []


@pytest.mark.usefixtures("sent")
def test_an_erased_user_is_nowhere_and_that_can_be_checked(invoke):
    known = invoke("users", "erase", "u", "--check")
    assert (known.code, "rows of the event log: 1" in known.out) == (1, True)
    erased = invoke("users", "erase", "u")
    assert erased.code == 0, erased.err
    checked = invoke("users", "erase", "u", "--check")
    assert checked.code == 0
    assert checked.out.splitlines() == [
        "history in Redis: 0",
        "waiting events in Redis: 0",
        "rows of the event log: 0",
    ]


@pytest.mark.usefixtures("sent")
def test_an_erased_item_is_nowhere_and_that_can_be_checked(invoke):
    known = invoke("items", "erase", "i", "--check")
    assert (known.code, "events of sessions in Redis: 0" in known.out) == (1, True)
    erased = invoke("items", "erase", "i")
    assert erased.code == 0, erased.err
    assert invoke("items", "erase", "i", "--check").code == 0


@pytest.fixture
def known(workspace) -> tuple[str, str, Path]:
    """A user of the published version, the version, and the catalog's folder."""
    import pyarrow.parquet as pq

    [path] = (workspace / "var" / "artifacts" / "default").glob("*/ids.parquet")
    return pq.read_table(path)["id"][0].as_py(), path.parent.name, path.parent.parent


def test_versions_that_still_know_a_user_are_named_and_that_nothing_uses_it(invoke, known):
    user_id, version, _ = known
    before = invoke("users", "erase", user_id, "--check")
    assert (before.code, f"services use it: {version}" in before.out) == (1, True)
    erased = invoke("users", "erase", user_id)
    assert (erased.code, f"no service uses it: {version}" in erased.out) == (0, True)
    checked = invoke("users", "erase", user_id, "--check")
    assert (checked.code, "services use it" in checked.out) == (1, False)


def test_a_version_trained_after_the_erasure_is_said_to_be_used(invoke, known):
    user_id, version, folder = known
    assert invoke("users", "erase", user_id).code == 0
    manifest = folder / version / "manifest.json"
    content = json.loads(manifest.read_text())
    content["watermark"] = {erasures_name(partition_of(user_id)): "9999999999999-0"}
    manifest.write_text(json.dumps(content))
    checked = invoke("users", "erase", user_id, "--check")
    assert (checked.code, "by what came after the erasure" in checked.out) == (1, True)


def test_pruning_keeps_what_an_experiment_serves_and_the_last_one_gone_lifts_the_mark(
    invoke, known, server
):
    user_id, version, folder = known
    assert invoke("users", "erase", user_id).code == 0
    marks = "mr:default:{erased}:users"
    assert server.hlen(marks) == 1
    watermark = {erasures_name(partition_of(user_id)): "9999999999999-0"}
    for name in ("20990101T000000000000Z-00000000", "20990101T000001000000Z-00000000"):
        shutil.copytree(folder / version, folder / name)
        manifest = folder / name / "manifest.json"
        content = json.loads(manifest.read_text()) | {"version": name, "watermark": watermark}
        manifest.write_text(json.dumps(content))
    set_current(folder.parent, "default", name)
    assert invoke("versions", "prune", "--keep", 3).code == 0
    assert server.hlen(marks) == 1
    arms = [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "version": version}]
    told = {"name": "try", "arms": arms, "number": 1}
    told |= dict.fromkeys(("counted_from", "started_at"), "2026-01-01T00:00:00Z")
    experiments = "mr:default:{experiments}:definitions"
    server.hset(experiments, "try", json.dumps(told))
    kept = invoke("versions", "prune", "--keep", 2)
    assert (kept.code, f"kept {version}: running experiments" in kept.out) == (0, True)
    assert (folder / version).exists()
    server.delete(experiments)
    assert f"deleted {version}" in invoke("versions", "prune", "--keep", 2).out
    assert server.hlen(marks) == 0

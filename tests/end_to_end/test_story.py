import os
import shutil
import signal
import time
from pathlib import Path

import httpx
import pytest
from eventually import wait_until

pytestmark = pytest.mark.slow

USER = "user-0007"


def test_a_posted_interaction_changes_the_next_answer_and_the_next_version(server, run) -> None:
    first = server.version()
    before = server.items(USER)
    scores = {i["item_id"]: i["score"] for i in server.recommend(USER)["items"]}

    assert server.post(user_id=USER, item_id=before[0], type="purchase")["accepted"] == 1
    after = server.recommend(USER)["items"]
    assert before[0] not in [item["item_id"] for item in after]
    # The list has not just lost an item: the others' scores have moved with the new event.
    assert any(abs(scores.get(i["item_id"], i["score"]) - i["score"]) > 1e-4 for i in after)

    retrained = run("retrain")
    assert retrained.returncode == 0, retrained.stderr
    wait_until(lambda: server.version() != first, 60)
    second = server.version()
    assert before[0] not in server.items(USER, k=100)
    assert run("retrain").returncode == 10

    assert run("rollback").returncode == 0
    wait_until(lambda: server.version() == first, 60)
    assert before[0] not in server.items(USER, k=100)
    assert second in run("versions").stdout


def test_a_new_user_gets_popular_items_then_personal_ones_then_a_trained_vector(
    server, run
) -> None:
    popular = server.recommend("newcomer")["items"]
    assert {item["source"] for item in popular} == {"popular"}
    liked = server.items(USER, k=3)
    for item in liked:
        server.post(user_id="newcomer", item_id=item, type="view")
    personal = server.recommend("newcomer")["items"]
    assert {item["source"] for item in personal} == {"model"}
    assert not {item["item_id"] for item in personal} & set(liked)
    first = server.version()
    assert run("retrain").returncode == 0
    wait_until(lambda: server.version() != first, 60)
    trained = server.recommend("newcomer")["items"]
    assert {item["source"] for item in trained} == {"model"}
    assert not {item["item_id"] for item in trained} & set(liked)


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(server, run) -> None:
    for number in range(40):
        posted = server.post(
            event_id=f"e{number}", user_id=f"user-{1 + number % 9:04d}", item_id="item-001"
        )
        assert posted["accepted"] == 1
    server.kill()
    server.start()
    repeated = server.post(event_id="e0", user_id="user-0001", item_id="item-001")
    assert repeated == {"accepted": 0, "duplicates": 1, "rejected": []}
    assert "item-001" not in server.items("user-0001", k=100)
    assert "40 events in the log" in run("retrain").stdout


def test_events_survive_when_server_and_store_are_killed_together(server, run) -> None:
    for number in range(10):
        server.post(event_id=f"e{number}", user_id=USER, item_id=f"item-{number + 1:03d}")
    # The append-only file is fsynced once a second; what is older than that must survive.
    time.sleep(1.5)
    store = valkey_process(server.home)
    server.kill()
    os.kill(store, signal.SIGKILL)
    server.start()
    assert not {f"item-{n + 1:03d}" for n in range(10)} & set(server.items(USER, k=100))
    assert "10 events in the log" in run("retrain").stdout


def valkey_process(home: Path) -> int:
    """The process whose working folder is the private Valkey's."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == (home / "redis").resolve():
                return int(process.name)
        except OSError:
            continue
    pytest.fail("no private Valkey server is running")


def test_recommendations_go_on_without_the_store(server) -> None:
    server.post(user_id=USER, item_id="item-002")
    os.kill(valkey_process(server.home), signal.SIGKILL)
    answer = server.recommend(USER)
    assert answer["degraded"] is True
    assert len(answer["items"]) == 10
    refused = server.http.post("/interactions", json={"user_id": USER, "item_id": "item-003"})
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert "retry-after" in refused.headers


def test_a_damaged_version_is_never_served(server) -> None:
    catalog = server.home / "artifacts" / "default"
    good = server.version()
    damaged = good[:-8] + "deadbeef"
    shutil.copytree(catalog / good, catalog / damaged)
    vectors = catalog / damaged / "embeddings.safetensors"
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"\x7f")
    point_to(catalog, damaged)
    wait_until(lambda: damaged in server.log.read_text(), 30)
    assert server.version() == good


def test_a_half_written_version_is_never_served(server) -> None:
    catalog = server.home / "artifacts" / "default"
    good = server.version()
    half = good[:-8] + "0badf00d"
    shutil.copytree(catalog / good, catalog / half)
    (catalog / half / "manifest.json").unlink()
    point_to(catalog, half)
    wait_until(lambda: half in server.log.read_text(), 30)
    assert server.version() == good


def point_to(catalog: Path, version: str) -> None:
    draft = catalog / "draft"
    draft.write_text(version + "\n")
    draft.replace(catalog / "CURRENT")


def test_swapping_versions_drops_no_request(server, run) -> None:
    first = server.version()
    assert run("publish", server.home / "data").returncode == 0
    second, errors = first, 0
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            version = server.version()
        except (AssertionError, httpx.TransportError):
            errors += 1
            continue
        if version != second:
            second, deadline = version, time.monotonic() + 1
    assert errors == 0
    assert first != second == server.version()


def test_a_retraining_that_is_killed_is_repeated_and_counts_events_once(server, run) -> None:
    first = server.version()
    for number in range(5):
        server.post(event_id=f"e{number}", user_id=USER, item_id=f"item-{number + 1:03d}")
    killed = run("retrain", kill_after=3.0)
    assert killed.returncode != 0
    assert server.version() == first
    again = run("retrain")
    assert again.returncode == 0, again.stderr
    assert "5 events in the log" in again.stdout

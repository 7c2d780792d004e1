"""/admin/versions, and following what other processes of the fleet do."""

import threading
import time
from pathlib import Path

import pytest

from service.artifact import GateCheck, GateReport, current_version, record_gate, set_current

UNKNOWN = "20200101T000000000000Z-00000000"
PATIENT = {"poll_interval_s": 60}
"""No poll falls into a test."""


def until(condition, seconds: float) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"it did not happen within {seconds} s"
        time.sleep(0.005)
    return time.monotonic() - started


@pytest.fixture
def two(deploy) -> list[str]:
    return [deploy(), deploy()]


def test_the_list_has_every_version_with_its_state_and_why_it_was_refused(
    start, tmp_path: Path, deploy, publish
):
    served = deploy()
    refused = publish(tmp_path / "artifacts")
    check = GateCheck(name="quality", passed=False, value=-0.1, reason="worse than before")
    now = "2026-01-01T00:00:00Z"
    record_gate(
        tmp_path / "artifacts",
        "default",
        refused,
        GateReport(
            champion=served, judged_at=now, holdout_users=1, holdout_pairs=1, checks=[check]
        ),
    )
    answer = start().get("/admin/versions").json()
    assert [(one["version"], one["state"]) for one in answer["versions"]] == [
        (served, "current"),
        (refused, "refused"),
    ]
    assert answer["versions"][1]["gate"]["checks"][0]["reason"] == "worse than before"


def test_promoting_serves_the_version_at_once(start, two):
    client = start(**PATIENT)
    answer = client.post(f"/admin/versions/{two[0]}/promote")
    assert answer.json() == {"catalog": "default", "current": two[0], "before": two[1]}
    assert client.get("/recommend/u0").json()["model_version"] == two[0]


def test_rolling_back_serves_the_version_before_at_once(start, two):
    client = start(**PATIENT)
    assert client.post("/admin/versions/rollback").json()["current"] == two[0]
    assert client.get("/recommend/u0").json()["model_version"] == two[0]
    refused = client.post("/admin/versions/rollback")
    assert (refused.status_code, refused.json()["title"]) == (404, "Unknown version")


def test_another_service_follows_within_a_second_without_polling(start, two, redis_url):
    one, other = (start(redis_url=redis_url, **PATIENT) for _ in range(2))
    # The other one's loop runs only while it is asked something: that is where it hears the news.
    other.run(_idle(0.2))
    assert one.post("/admin/versions/rollback").status_code == 200
    seconds = until(lambda: other.run(_served(other)) == two[0], 5)
    assert seconds < 1


async def _idle(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)


async def _served(client) -> str:
    await _idle(0.01)
    return client.state.catalogs.snapshot(None)[1].version


def test_a_pin_keeps_the_version_until_it_is_taken_away(start, two):
    client = start()
    assert client.post(f"/admin/versions/{two[0]}/pin").json()["pinned"] == two[0]
    refused = client.post(f"/admin/versions/{two[1]}/promote")
    assert refused.status_code == 409
    assert "unpin" in refused.json()["detail"]
    assert client.run(client.http.delete("/admin/versions/pin")).json()["current"] == two[0]
    assert client.post(f"/admin/versions/{two[1]}/promote").status_code == 200


def test_the_difference_of_two_versions_names_what_changed(start, deploy, make_draft):
    old = deploy(make_draft(metrics={"validation": {"recall@20": 0.1}}))
    new = deploy(make_draft(metrics={"validation": {"recall@20": 0.2}}))
    answer = start().get("/admin/versions/diff", params={"old": old, "new": new}).json()
    assert answer["metrics"] == [{"name": "validation.recall@20", "old": 0.1, "new": 0.2}]


def test_pruning_tells_what_it_deleted(start, deploy):
    names = [deploy() for _ in range(4)]
    answer = start().post("/admin/versions/prune", json={"keep": 1})
    assert answer.json() == {"catalog": "default", "deleted": names[:2], "kept": []}


def test_pruning_keeps_what_an_arm_of_a_running_experiment_serves(start, deploy, redis_url):
    names = [deploy() for _ in range(4)]
    client = start(redis_url=redis_url)
    path, prune = "/admin/experiments/try", "/admin/versions/prune"
    arms = [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "version": names[0]}]
    body = {"arms": arms}
    assert client.run(client.http.put(path, json=body)).status_code == 200
    answer = client.post(prune, json={"keep": 1}).json()
    assert answer["deleted"] == [names[1]]
    [kept] = answer["kept"]
    assert kept["version"] == names[0]
    assert "try/b" in kept["reason"]
    assert client.run(client.http.put(path, json=body | {"running": False})).status_code == 200
    assert client.post(prune, json={"keep": 1}).json()["deleted"] == [names[0]]


def test_a_version_that_does_not_exist_is_a_problem_that_lists_those_there_are(start, two):
    refused = start().post(f"/admin/versions/{UNKNOWN}/promote")
    assert refused.status_code == 404
    assert two[1] in refused.json()["detail"]


def test_a_damaged_version_does_not_become_current(start, tmp_path, two):
    vectors = tmp_path / "artifacts" / "default" / two[0] / "embeddings.safetensors"
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"\x7f")
    client = start()
    refused = client.post(f"/admin/versions/{two[0]}/promote")
    assert refused.status_code == 409
    assert "SHA-256" in refused.json()["detail"]
    assert current_version(tmp_path / "artifacts", "default") == two[1]


@pytest.mark.usefixtures("two")
def test_a_name_that_is_no_version_is_refused(start):
    assert start().post("/admin/versions/..%2Fx/promote").status_code in (404, 422)
    assert start().post("/admin/versions/latest/promote").status_code == 422


def test_a_service_whose_disk_refuses_says_where_to_do_it(start, tmp_path, two):
    (tmp_path / "artifacts" / "default" / "PINNED").mkdir()  # whoever runs the tests, this fails
    refused = start().post(f"/admin/versions/{two[0]}/promote")
    assert refused.status_code == 503
    assert "mutualrec versions" in refused.json()["detail"]
    assert current_version(tmp_path / "artifacts", "default") == two[1]


def test_two_movers_at_once_leave_one_of_their_versions_current(tmp_path, two):
    def move(version: str) -> None:
        for _ in range(50):
            set_current(tmp_path / "artifacts", "default", version)

    movers = [threading.Thread(target=move, args=(version,)) for version in two]
    for mover in movers:
        mover.start()
    for mover in movers:
        mover.join()
    assert current_version(tmp_path / "artifacts", "default") in two

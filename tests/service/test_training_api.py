"""/admin/train: asking for a training and seeing what became of it."""

import pytest

from service.scheduling.keys import TrainingKeys
from service.scheduling.lease import acquire
from service.scheduling.recording import RunRecord
from service.scheduling.status import Judgement, Schedule, read_status
from service.store.connection import connect_blocking

NOW_MS = 1_793_000_000_000
KEYS = TrainingKeys("default")


@pytest.fixture
def redis_client(redis_url: str):
    with connect_blocking(redis_url) as client:
        yield client


@pytest.fixture
def service(start, deploy, redis_url):
    deploy()
    return start(redis_url=redis_url, redis_timeout_s=5.0)


def test_of_a_catalog_never_trained_everything_is_empty(service):
    assert service.get("/admin/train").json() == {
        "catalog": "default",
        "training": None,
        "last_run": None,
        "request": None,
        "scheduler": None,
    }


def test_asking_is_answered_at_once_with_where_to_look(service, redis_client):
    response = service.post("/admin/train")
    asked = response.json()
    assert (response.status_code, asked["has_scheduler"]) == (202, False)
    found = service.get(asked["status"]).json()
    assert found["request"] == {
        "request_id": asked["request_id"],
        "requested_at": asked["requested_at"],
        "state": "waiting",
    }
    assert read_status(redis_client, "default").is_wished


def test_a_request_is_seen_running_and_done(service, redis_client):
    asked = service.post("/admin/train").json()
    lease = acquire(redis_client, "default", ttl_s=60, used_token=0, owner="gpu-1:4711:aa")
    record = RunRecord(redis_client, lease, lambda: NOW_MS)
    record.begin()
    during = service.get("/admin/train").json()
    assert (during["request"]["state"], during["last_run"]["state"]) == ("running", "running")
    assert (during["training"]["owner"], during["training"]["token"]) == ("gpu-1:4711", 1)
    record.end(20, "refused", "v1", Judgement("v2", "refused", ("ndcg fell", "empty lists")))
    lease.release()
    after = service.get("/admin/train").json()
    assert (after["request"]["state"], after["training"]) == ("done", None)
    assert after["last_run"] == {
        "state": "finished",
        "result": "refused",
        "exit_code": 20,
        "message": "refused",
        "started_at": "2026-10-26T07:33:20.000Z",
        "finished_at": "2026-10-26T07:33:20.000Z",
        "version": "v1",
        "gate": {
            "version": "v2",
            "decision": "refused",
            "reasons": ["ndcg fell", "empty lists"],
            "pinned_to": None,
        },
        "request_id": asked["request_id"],
        "owner": "gpu-1:4711",
    }


def test_the_next_run_of_a_living_scheduler_is_shown(service, redis_client):
    schedule = Schedule("trainer-1", NOW_MS, "0 * * * *", 100)
    redis_client.set(KEYS.schedule, schedule.encoded(), ex=10)
    assert service.get("/admin/train").json()["scheduler"] == {
        "host": "trainer-1",
        "cron": "0 * * * *",
        "after_events": 100,
        "next_run_at": "2026-10-26T07:33:20.000Z",
    }
    assert service.post("/admin/train").json()["has_scheduler"]


def test_an_unknown_catalog_is_404(service):
    assert service.post("/admin/train?catalog=nothing").status_code == 404
    assert service.get("/admin/train?catalog=nothing").status_code == 404


def test_without_redis_it_is_503_with_the_fix(start, deploy):
    deploy()
    response = start().post("/admin/train")
    assert response.status_code == 503
    assert "MUTUALREC_REDIS_URL" in response.json()["detail"]

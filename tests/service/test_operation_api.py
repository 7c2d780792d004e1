import json
import logging
import re

import pytest
from fastapi.testclient import TestClient
from threadpoolctl import threadpool_info, threadpool_limits

from service.app import create_app
from service.capacity import EVENT_BYTES
from service.settings import Settings


def test_live_answers_without_redis_and_without_an_artifact(start):
    assert start(redis_url="unix:///nowhere/redis.sock").get("/health/live").status_code == 200


def test_ready_names_the_versions(start, deploy, redis_url):
    version = deploy()
    response = start(redis_url=redis_url).get("/health/ready")
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["redis"]) == ("ready", "up")
    assert response.json()["catalogs"]["default"]["model_version"] == version


def test_whoever_starts_again_connects_to_redis_anew(tmp_path, deploy, redis_url):
    deploy()
    app = create_app(Settings.load({}, home=tmp_path, redis_url=redis_url))
    app.state.service.connect()  # as whoever forks workers does beforehand
    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/health/ready").json()["redis"] == "up"
        assert app.state.service.store is None


def test_ready_is_degraded_when_redis_is_down(start, deploy):
    deploy()
    response = start(redis_url="unix:///nowhere/redis.sock").get("/health/ready")
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["redis"]) == ("degraded", "down")


def test_without_an_artifact_the_service_is_not_ready(start, redis_url):
    response = start(redis_url=redis_url).get("/health/ready")
    assert (response.status_code, response.json()["title"]) == (503, "Not ready")


def test_metrics_count_by_route_and_status(start, deploy, redis_url):
    version = deploy()
    client = start(redis_url=redis_url)
    client.get("/recommend/a%2Fb")
    client.get("/recommend/u1?k=0")
    client.get("/nothing/here")
    text = client.get("/metrics").text
    route = 'method="GET",route="/recommend/{user_id}"'
    assert f'mutualrec_requests_total{{{route},status="200"}} 1.0' in text
    assert f'mutualrec_requests_total{{{route},status="422"}} 1.0' in text
    assert 'route="unmatched",status="404"' in text
    assert f'mutualrec_model_info{{catalog="default",version="{version}"}} 1.0' in text
    assert 'mutualrec_fallbacks_total{catalog="default",reason="popular"} 1.0' in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("DELETE", "/interactions", 405), ("PUT", "/recommend/u", 405)],
)
def test_unknown_paths_and_methods_get_a_problem(start, method, path, status):
    client = start()
    response = client.run(client.http.request(method, path))
    assert (response.status_code, response.json()["status"]) == (status, status)
    assert response.headers["content-type"] == "application/problem+json"


def test_a_request_id_that_is_not_plain_is_replaced(start):
    response = start().get("/health/live", headers={"X-Request-Id": 'a" b'})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])


def test_the_docs_page_shows_every_endpoint_and_loads_nothing(start):
    page = start().get("/docs").text
    assert "GET /recommend/{user_id}" in page
    assert "POST /interactions" in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://test", "")
    assert "https://" not in page


def test_the_versioned_docs_page_links_to_a_document_that_is_there(start):
    client = start()
    assert "href='openapi.json'" in client.get("/v1/docs").text
    assert client.get("/v1/openapi.json").json() == client.get("/openapi.json").json()


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/recommend/{user_id}", "get", {"200", "400", "404", "422", "503"}),
        ("/interactions", "post", {"202", "400", "404", "413", "415", "422", "501", "503"}),
    ],
)
def test_openapi_documents_examples_and_problems(start, path, method, statuses):
    operation = start().get("/openapi.json").json()["paths"][path][method]
    responses = operation["responses"]
    assert set(responses) == statuses | {"401", "403", "429"}
    assert list(responses["422"]["content"]) == ["application/problem+json"]
    assert "example" in json.dumps(responses[min(statuses)])


def test_logs_are_json_and_hold_no_history(start, deploy, redis_url, capsys):
    deploy()
    client = start(redis_url=redis_url, log_level="debug")
    client.post("/interactions", json={"user_id": "secret-user", "item_id": "secret-item"})
    client.get("/recommend/secret-user")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {line["status"] for line in lines if line["event"] == "request"} == {200, 202}
    assert "secret" not in json.dumps(lines)
    logging.getLogger("service").handlers = []


def test_the_startup_probe_waits_for_the_first_look_at_the_catalogs(start):
    client = start()
    assert client.get("/health/startup").json() == {"status": "started"}
    client.state.has_started = False
    assert client.get("/health/startup").status_code == 503


def counted(text: str, stage: str) -> float:
    prefix = f'mutualrec_stage_seconds_count{{stage="{stage}"}} '
    return next(
        float(line.removeprefix(prefix)) for line in text.splitlines() if line.startswith(prefix)
    )


def test_stages_are_timed_once_per_operation(start, deploy, redis_url):
    deploy()
    client = start(redis_url=redis_url)
    before = client.get("/metrics").text
    client.recommended("u1")
    client.recommended("u2")
    after = client.get("/metrics").text
    added = {
        stage: counted(after, stage) - counted(before, stage)
        for stage in ("redis", "search", "ranking")
    }
    assert added == {"redis": 2, "search": 2, "ranking": 2}


def test_metrics_say_when_the_served_version_was_published(start, deploy):
    deploy()
    client = start()
    published_at = client.state.catalogs.snapshots["default"].artifact.manifest.created_at
    lines = client.get("/metrics").text.splitlines()
    values = [float(line.split()[1]) for line in lines if line.startswith("mutualrec_model_publis")]
    assert values == [published_at.timestamp()]


def test_requests_do_not_share_the_cores_with_threads_of_blas(start) -> None:
    with threadpool_limits(2, user_api="blas"):
        start()
        pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert {pool["num_threads"] for pool in pools} == {1}


def test_capacity_is_that_of_the_version_or_of_any_other_size(start, deploy):
    deploy()
    client = start()
    own = client.get("/admin/capacity?events_per_day=86400").json()
    assert (own["users"], own["items"]) == (6, 12)
    assert own["redis_bytes"] == sum(own["redis"].values())
    assert own["redis"]["events that wait to be drained"] == 86_400 * EVENT_BYTES
    assert own["per_version"] == {"vectors": 18 * own["width"] * 4}
    larger = client.get(
        "/v1/admin/capacity?events_per_day=86400&users=1000&items=500&width=10&active_users=0"
        "&drain_every_s=3600"
    ).json()
    assert larger["per_version"] == {"vectors": 1500 * 10 * 4}
    assert larger["redis"]["events that wait to be drained"] == 3600 * EVENT_BYTES
    assert larger["redis"]["histories"] == 0


def test_the_largest_capacity_that_may_be_asked_for_is_a_number_in_json(start, deploy):
    deploy()
    most = 10**10
    answer = start().get(
        f"/admin/capacity?events_per_day={most}&users={most}&items={most}&width=100000"
        f"&items_per_history={most}&drain_every_s=100000000"
    )
    assert answer.status_code == 200
    assert 2**50 < answer.json()["service_bytes"] < 2**63


@pytest.mark.parametrize(
    "wrong", ["", "events_per_day=-1", "events_per_day=10000000001", "events_per_day=1&width=0"]
)
def test_a_capacity_of_nothing_or_of_too_much_is_refused(start, deploy, wrong):
    deploy()
    assert start().get(f"/admin/capacity?{wrong}").status_code == 422

"""Who is let in, over HTTP."""

import json
import logging
from pathlib import Path

import pytest

from service.access import needed_scope
from service.errors import KeysMissing
from service.keys import create_key, retire_secret, revoke_key, rotate_key

pytestmark = pytest.mark.any_server

EVENT = {"user_id": "u1", "item_id": "i3"}
OPEN = {"/health/live", "/health/ready", "/health/startup", "/metrics"}


@pytest.fixture
def keys_file(tmp_path) -> Path:
    return tmp_path / "keys.json"


def as_key(token: str) -> dict[str, dict[str, str]]:
    return {"headers": {"X-API-Key": token}}


def test_without_keys_everybody_is_let_in_during_development(start, deploy):
    deploy()
    assert start().get("/recommend/u1").status_code == 200


def test_in_production_the_service_does_not_start_without_keys(start):
    with pytest.raises(KeysMissing, match="mutualrec keys create"):
        start(environment="production")


def test_in_production_a_file_of_revoked_keys_is_not_enough(start, keys_file):
    create_key(keys_file, "shop", ["read"])
    revoke_key(keys_file, "shop")
    with pytest.raises(KeysMissing):
        start(environment="production")


def test_production_starts_with_a_key(start, deploy, keys_file):
    deploy()
    token = create_key(keys_file, "shop", ["read"])
    client = start(environment="production")
    assert client.get("/recommend/u1", **as_key(token)).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "mr_0_x"}, {"Authorization": "Basic eDp5"}])
def test_a_request_without_a_valid_key_gets_401_that_says_how(start, deploy, keys_file, headers):
    deploy()
    create_key(keys_file, "shop", ["read"])
    response = start().get("/recommend/u1", headers=headers)
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert "X-API-Key" in response.json()["detail"]


def test_a_bearer_token_is_as_good_as_the_header(start, deploy, keys_file):
    deploy()
    token = create_key(keys_file, "shop", ["read"])
    response = start().get("/v1/recommend/u1", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200


def test_a_key_without_the_scope_gets_403_that_names_it(start, keys_file, redis_url):
    token = create_key(keys_file, "shop", ["read"])
    response = start(redis_url=redis_url).post("/interactions", json=EVENT, **as_key(token))
    assert response.status_code == 403
    assert "needs write" in response.json()["detail"]


def test_a_writing_key_writes_and_does_not_read(start, deploy, keys_file, redis_url):
    deploy()
    token = create_key(keys_file, "tracker", ["write"])
    client = start(redis_url=redis_url)
    assert client.post("/interactions", json=EVENT, **as_key(token)).status_code == 202
    assert client.get("/recommend/u1", **as_key(token)).status_code == 403


def test_an_admin_key_may_do_all(start, deploy, keys_file, redis_url):
    deploy()
    token = create_key(keys_file, "boss", ["admin"])
    client = start(redis_url=redis_url)
    assert client.get("/recommend/u1", **as_key(token)).status_code == 200
    assert client.post("/interactions", json=EVENT, **as_key(token)).status_code == 202


@pytest.mark.parametrize("path", sorted(OPEN | {"/docs", "/openapi.json"}))
def test_probes_metrics_and_documentation_need_no_key(start, deploy, keys_file, path):
    deploy()
    create_key(keys_file, "shop", ["read"])
    assert start().get(path).status_code == 200


def test_everything_else_needs_a_key(start, keys_file):
    client = start()
    create_key(keys_file, "shop", ["read"])
    client.state.keys.refresh()
    asked = [
        (method, path)
        for path, methods in client.app.openapi()["paths"].items()
        for method in methods
        if not path.startswith("/health/") and path not in OPEN
    ]
    answers = {client.run(client.http.request(method, path)).status_code for method, path in asked}
    assert (len(asked) >= 2, answers) == (True, {401})


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/health/live", None),
        ("GET", "/v1/metrics", None),
        ("GET", "/recommend/u1", "read"),
        ("GET", "/v1/recommend/admin", "read"),
        ("POST", "/recommend", "read"),
        ("POST", "/v1/interactions", "write"),
        ("GET", "/items/i1", "read"),
        ("PUT", "/items/i1", "write"),
        ("GET", "/users/u1", "admin"),
        ("DELETE", "/v1/users/u1", "admin"),
        ("GET", "/admin/versions", "admin"),
        ("POST", "/admin/train", "admin"),
        ("POST", "/v1/admin/rollback", "admin"),
        ("GET", "/unheard/of", "read"),
        ("POST", "/unheard/of", "write"),
        ("POST", "", "write"),
        ("BREW", "/recommend", "write"),
        ("POST", "/healthy", "write"),
    ],
)
def test_the_scope_a_request_needs(method, path, scope):
    assert needed_scope(method, path) == scope


def test_a_new_key_is_valid_and_a_revoked_one_is_not_without_a_restart(start, deploy, keys_file):
    deploy()
    first = create_key(keys_file, "shop", ["read"])
    client = start()
    second = rotate_key(keys_file, "shop")
    client.state.keys.refresh()
    assert client.get("/recommend/u1", **as_key(first)).status_code == 200
    assert client.get("/recommend/u1", **as_key(second)).status_code == 200
    retire_secret(keys_file, "shop")
    client.state.keys.refresh()
    assert client.get("/recommend/u1", **as_key(first)).status_code == 401
    assert client.get("/recommend/u1", **as_key(second)).status_code == 200


def test_the_first_key_of_a_running_service_closes_it(start, deploy, keys_file):
    deploy()
    client = start()
    create_key(keys_file, "shop", ["read"])
    client.state.keys.refresh()
    assert client.get("/recommend/u1").status_code == 401


def test_keys_that_vanish_do_not_open_the_service(start, deploy, keys_file):
    deploy()
    create_key(keys_file, "shop", ["read"])
    client = start()
    keys_file.unlink()
    client.state.keys.refresh()
    assert client.get("/recommend/u1").status_code == 401


def test_a_damaged_file_leaves_the_keys_as_they_were(start, deploy, keys_file):
    deploy()
    token = create_key(keys_file, "shop", ["read"])
    client = start()
    keys_file.write_text("{")
    client.state.keys.refresh()
    assert client.get("/recommend/u1", **as_key(token)).status_code == 200
    assert client.get("/recommend/u1").status_code == 401


def test_keys_may_lie_elsewhere(start, deploy, tmp_path):
    deploy()
    elsewhere = tmp_path / "secrets" / "api.json"
    create_key(elsewhere, "shop", ["read"])
    assert start(keys_file=elsewhere).get("/recommend/u1").status_code == 401


def test_no_key_reaches_the_logs(start, deploy, keys_file, capsys):
    deploy()
    token = create_key(keys_file, "shop", ["read"])
    client = start(log_level="debug")
    client.get("/recommend/u1", **as_key(token))
    client.get("/recommend/u1", **as_key(token + "x"))
    logged = capsys.readouterr().err
    logging.getLogger("service").handlers = []
    assert {json.loads(line).get("status") for line in logged.splitlines()} >= {200, 401}
    assert not any(part in logged for part in token.split("_", 2)[1:])


def test_refused_requests_are_counted_by_the_first_part_of_their_path(start, keys_file):
    create_key(keys_file, "shop", ["read"])
    client = start()
    client.get("/v1/recommend/u1")
    client.get("/anything/else")
    text = client.get("/metrics").text
    assert 'mutualrec_requests_total{method="GET",route="/recommend",status="401"} 1.0' in text
    assert 'mutualrec_requests_total{method="GET",route="unmatched",status="401"} 1.0' in text


def test_the_document_says_which_scope_an_operation_needs(start):
    paths = start().app.openapi()["paths"]
    assert paths["/interactions"]["post"]["security"] == [
        {"apiKey": ["write"]},
        {"bearer": ["write"]},
    ]
    assert paths["/metrics"]["get"]["security"] == []


@pytest.mark.parametrize("path", ["/health/live", "/docs", "/nothing", "/recommend/u1"])
def test_every_answer_has_the_security_headers(start, path):
    headers = start().get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


def test_scripts_of_other_origins_are_not_let_in_by_default(start):
    response = start().get("/health/live", headers={"Origin": "https://shop.example"})
    assert "access-control-allow-origin" not in response.headers


def test_a_configured_origin_is_let_in_and_no_other(start, keys_file):
    create_key(keys_file, "shop", ["read"])
    client = start(cors_origins="https://shop.example")
    asks = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "X-API-Key"}
    allowed = {}
    for origin in ("https://shop.example", "https://evil.example"):
        answer = client.run(
            client.http.options("/recommend/u1", headers={"Origin": origin, **asks})
        )
        allowed[origin] = answer.headers.get("access-control-allow-origin")
    assert allowed == {
        "https://shop.example": "https://shop.example",
        "https://evil.example": None,
    }
    refused = client.get("/recommend/u1", headers={"Origin": "https://shop.example"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"

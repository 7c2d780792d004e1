"""Generated requests, valid and not, against a real server: every answer is a documented one."""

import threading
import time
from collections.abc import Iterator

import pytest
import redis
import schemathesis
import uvicorn
from hypothesis import assume, given, settings
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from service.app import create_app
from service.artifact import set_current
from service.settings import Settings

DOCUMENTED = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
]
LONGEST_QUERY = 4_000


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context: schemathesis.SerializationContext, value: object) -> bytes:
    return str(value).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def contract(
    tmp_path_factory: pytest.TempPathFactory, valkey_url: str, publish
) -> Iterator[schemathesis.BaseSchema]:
    home = tmp_path_factory.mktemp("contract")
    set_current(home / "artifacts", "default", publish(home / "artifacts"))
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    app = create_app(Settings.load({}, home=home, index="cpu", redis_url=valkey_url))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    # Nobody has a key here, so no key is a wrong one: generated keys would count as faults.
    document = app.openapi()
    del document["components"]["securitySchemes"]
    for operations in document["paths"].values():
        for operation in operations.values():
            del operation["security"]
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=f"http://127.0.0.1:{port}")
    yield schema
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize(
    ("path", "method", "mode"),
    [
        ("/recommend/{user_id}", "GET", GenerationMode.POSITIVE),
        ("/recommend/{user_id}", "GET", GenerationMode.NEGATIVE),
        ("/popular", "GET", GenerationMode.POSITIVE),
        ("/popular", "GET", GenerationMode.NEGATIVE),
        ("/similar/{item_id}", "GET", GenerationMode.POSITIVE),
        ("/similar/{item_id}", "GET", GenerationMode.NEGATIVE),
        ("/interactions", "POST", GenerationMode.POSITIVE),
        ("/interactions", "POST", GenerationMode.NEGATIVE),
        ("/recommend", "GET", GenerationMode.POSITIVE),
        ("/recommend", "GET", GenerationMode.NEGATIVE),
        ("/recommend", "POST", GenerationMode.POSITIVE),
        ("/recommend", "POST", GenerationMode.NEGATIVE),
        ("/items/{item_id}", "GET", GenerationMode.POSITIVE),
        ("/items/{item_id}", "PUT", GenerationMode.POSITIVE),
        ("/items/{item_id}", "PUT", GenerationMode.NEGATIVE),
        ("/items/{item_id}", "PATCH", GenerationMode.POSITIVE),
        ("/items/{item_id}", "PATCH", GenerationMode.NEGATIVE),
        ("/items/{item_id}", "DELETE", GenerationMode.POSITIVE),
        ("/sessions/login", "POST", GenerationMode.POSITIVE),
        ("/sessions/login", "POST", GenerationMode.NEGATIVE),
        ("/admin/versions", "GET", GenerationMode.POSITIVE),
        ("/admin/versions/diff", "GET", GenerationMode.POSITIVE),
        ("/admin/versions/diff", "GET", GenerationMode.NEGATIVE),
        ("/admin/versions/prune", "POST", GenerationMode.POSITIVE),
        ("/admin/versions/prune", "POST", GenerationMode.NEGATIVE),
        ("/admin/versions/{version}/promote", "POST", GenerationMode.POSITIVE),
        ("/admin/versions/pin", "DELETE", GenerationMode.POSITIVE),
        ("/admin/experiments", "GET", GenerationMode.POSITIVE),
        ("/admin/experiments", "GET", GenerationMode.NEGATIVE),
        ("/admin/experiments/{name}", "GET", GenerationMode.POSITIVE),
        ("/admin/experiments/{name}", "PUT", GenerationMode.POSITIVE),
        ("/admin/experiments/{name}", "PUT", GenerationMode.NEGATIVE),
        ("/admin/experiments/{name}", "DELETE", GenerationMode.POSITIVE),
        ("/health/live", "GET", GenerationMode.POSITIVE),
        ("/health/ready", "GET", GenerationMode.POSITIVE),
        ("/health/startup", "GET", GenerationMode.POSITIVE),
        ("/metrics", "GET", GenerationMode.POSITIVE),
    ],
)
def test_every_answer_is_a_documented_one(
    contract: schemathesis.BaseSchema, path: str, method: str, mode: GenerationMode
) -> None:
    @given(contract[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=30, deadline=None, derandomize=True, database=None)
    def every_answer(case: schemathesis.Case) -> None:
        # The HTTP server itself refuses longer request lines before the service sees them.
        assume(len(str(case.query)) < LONGEST_QUERY)
        # A batch with one good event is taken for that event: 202 with the others rejected.
        partial = {"negative_data_rejection"} if path == "/interactions" else set()
        checks = [name for name in DOCUMENTED if name not in partial]
        case.call_and_validate(checks=CHECKS.get_by_names(checks))

    every_answer()

"""Generated requests, valid and not, against a real server: every answer is a documented one."""

import threading
import time
from collections.abc import Iterator

import pytest
import redis
import schemathesis
import uvicorn
from fund_world import draft_of_world, make_world
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from service.app import create_app
from service.artifact import set_current
from service.settings import Settings

pytestmark = pytest.mark.any_server

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
KNOWN = {
    "user_id": ["u1", "u3", "a/b"],
    "item_id": ["i0", "i7", "new"],
    "fund_id": ["f00", "f01", "f02"],
    "company_id": ["c000", "c001", "c002"],
    "name": ["diverse"],
    "version": ["20260101T000001000000Z-00000000"],
}
# What they are asked with is any text, so nothing that could be sent is wrong.
NEVER_WRONG = {
    ("DELETE", "/admin/experiments/{name}"),
    ("DELETE", "/admin/versions/pin"),
    ("DELETE", "/items/{item_id}"),
    ("GET", "/admin/versions"),
    ("GET", "/companies/{company_id}"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/health/startup"),
    ("GET", "/items/{item_id}"),
    ("GET", "/metrics"),
    ("POST", "/admin/versions/rollback"),
    ("POST", "/admin/versions/{version}/pin"),
    ("POST", "/admin/versions/{version}/promote"),
}
OPERATIONS = sorted(
    (method.upper(), path)
    for path, methods in create_app(Settings.load({})).openapi()["paths"].items()
    for method in methods
)


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context: schemathesis.SerializationContext, value: object) -> bytes:
    return str(value).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def contract(
    tmp_path_factory: pytest.TempPathFactory, valkey_url: str, publish
) -> Iterator[schemathesis.BaseSchema]:
    home = tmp_path_factory.mktemp("contract")
    root = home / "artifacts"
    set_current(root, "default", publish(root))
    set_current(root, "funds", publish(root, "funds", draft_of_world(make_world())))
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    wanted = Settings.load({}, home=home, index="cpu", redis_url=valkey_url, audit_fsync=False)
    app = create_app(wanted)
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
    # By default a body that is wrong and too large must not be refused with 413.
    refused = {"negative_data_rejection": {"expected-statuses": ["4xx"]}}
    config = schemathesis.Config.from_dict({"checks": refused})
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.config.update(base_url=f"http://127.0.0.1:{port}")
    yield schema
    server.should_exit = True
    thread.join()


def known(case: schemathesis.Case, place: int) -> schemathesis.Case:
    """The same about something that exists: what is made up seldom gets beyond 404."""
    case.query.pop("catalog", None)
    for name in case.path_parameters:
        case.path_parameters[name] = KNOWN[name][place % len(KNOWN[name])]
    return case


def answer(contract: schemathesis.BaseSchema, method: str, path: str, mode: GenerationMode) -> None:
    strategy = contract[path][method].as_strategy(generation_mode=mode)
    if mode is GenerationMode.POSITIVE:
        strategy |= st.builds(known, strategy, st.integers(0, 2))

    @given(strategy)
    @settings(max_examples=30, deadline=None, derandomize=True, database=None)
    def every_answer(case: schemathesis.Case) -> None:
        # The HTTP server itself refuses longer request lines before the service sees them.
        assume(len(str(case.query)) < LONGEST_QUERY)
        # A batch with one good event is taken for that event: 202 with the others rejected.
        partial = {"negative_data_rejection"} if path == "/interactions" else set()
        checks = [name for name in DOCUMENTED if name not in partial]
        case.call_and_validate(checks=CHECKS.get_by_names(checks))

    every_answer()


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_a_documented_one(
    contract: schemathesis.BaseSchema, method: str, path: str
) -> None:
    answer(contract, method, path, GenerationMode.POSITIVE)


@pytest.mark.parametrize(
    ("method", "path"), [operation for operation in OPERATIONS if operation not in NEVER_WRONG]
)
def test_a_wrong_request_is_refused_with_a_documented_answer(
    contract: schemathesis.BaseSchema, method: str, path: str
) -> None:
    answer(contract, method, path, GenerationMode.NEGATIVE)

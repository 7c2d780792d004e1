"""The client's page: its examples run, and it names every endpoint."""

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import uvicorn

from mutualrec.client import experiments as told
from service.app import create_app
from service.artifact import set_current
from service.experiments import definition, schemas
from service.settings import Settings

pytestmark = pytest.mark.any_server

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ENDPOINTS = [
    f"{method.upper()} {path}"
    for path, methods in create_app(Settings.load({})).openapi()["paths"].items()
    for method in methods
    if not path.startswith(("/health", "/metrics", "/docs", "/openapi"))
]


@pytest.fixture(scope="module")
def address(
    tmp_path_factory: pytest.TempPathFactory, valkey_url: str, publish, make_draft
) -> Iterator[str]:
    home = tmp_path_factory.mktemp("examples")
    draft = make_draft(
        user_ids=[f"user-{row:04}" for row in range(6)],
        item_ids=[f"item-{row:03}" for row in range(12)],
        item_metadata=pa.table({"category": ["Lighting", "Tables"] * 6}),
    )
    set_current(home / "artifacts", "default", publish(home / "artifacts", "default", draft))
    app = create_app(Settings.load({}, home=home, index="cpu", redis_url=valkey_url))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_run(example: str, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(example.replace("http://127.0.0.1:8000", address), "example", "exec"), {})
    assert "print" not in example or capsys.readouterr().out


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_endpoint_has_a_method(endpoint: str) -> None:
    assert f"`{endpoint}`" in PAGE


@pytest.mark.parametrize(
    ("own", "services"),
    [
        (told.Arm, definition.ArmBody),
        (told.MeasuredArm, schemas.ArmReport),
        (told.Experiment, definition.Experiment),
        (told.ExperimentReport, schemas.ExperimentReport),
        (told.ExperimentReports, schemas.ExperimentsResponse),
    ],
)
def test_experiments_have_the_fields_that_the_service_tells(own, services) -> None:
    assert set(own.model_fields) == set(services.model_fields)

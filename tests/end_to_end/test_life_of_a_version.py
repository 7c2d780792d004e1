"""Events become a version, and erased users leave one, as people see it who run the service."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest
from eventually import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("MUTUALREC_")}
PROGRAM = (sys.executable, "-m", "mutualrec.main")
USER, STRANGER = "user-007", "nobody knows me"
ZEROS = {"history in Redis: 0", "waiting events in Redis: 0", "rows of the event log: 0"}


class Service:
    """Two workers behind one address; whatever is asked is asked on connections of its own."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def everywhere(self, user_id: str) -> list[dict]:
        """The answers to many requests at once, of which every worker takes some."""
        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(lambda _: self.ask(user_id), range(24)))

    def ask(self, user_id: str) -> dict:
        response = httpx.get(f"{self.url}/recommend/{user_id}", params={"k": 20}, timeout=30)
        assert response.status_code == 200, response.text
        return response.json()

    def versions(self) -> set[str]:
        return {answer["model_version"] for answer in self.everywhere(STRANGER)}

    def items(self, user_id: str) -> list[str]:
        """What all workers answer; they must agree."""
        answers = [[item["item_id"] for item in a["items"]] for a in self.everywhere(user_id)]
        assert all(answer == answers[0] for answer in answers)
        return answers[0]

    def call(self, method: str, path: str, **options: object) -> dict:
        response = httpx.request(method, self.url + path, timeout=30, **options)
        assert response.is_success, response.text
        return response.json()

    def post(self, user_id: str, item_id: str) -> None:
        self.call("POST", "/interactions", json={"user_id": user_id, "item_id": item_id})


@pytest.fixture
def home(published: Path, tmp_path: Path) -> Path:
    home = tmp_path / "home"
    shutil.copytree(published, home)
    return home


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., None]]:
    """Starts a command in the workspace; it ends with the test."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: object, **variables: str) -> None:
            log = stack.enter_context((home / f"{arguments[0]}.log").open("wb"))
            process = subprocess.Popen(
                [*PROGRAM, *map(str, arguments)],
                env={**ENVIRONMENT, "MUTUALREC_HOME": str(home), **variables},
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)

        yield start


@pytest.fixture
def service(start) -> Service:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start("serve", "--port", port, "--workers", 2)
    service = Service(port)
    wait_until(lambda: httpx.get(service.url + "/health/ready", timeout=30).is_success)
    return service


@pytest.fixture
def run(home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    environment = {**ENVIRONMENT, "MUTUALREC_HOME": str(home), "COLUMNS": "200"}
    call = partial(subprocess.run, env=environment, capture_output=True, text=True, cwd=ROOT)
    return lambda *arguments: call([*PROGRAM, *map(str, arguments)])


def test_enough_events_make_a_version_that_every_worker_serves_until_a_rollback(service, start):
    [first] = service.versions()
    liked = service.items(USER)[:3]
    start("scheduler", MUTUALREC_TRAIN_CRON="", MUTUALREC_TRAIN_AFTER_EVENTS="3")
    for item in liked:
        service.post(USER, item)
    wait_until(lambda: service.versions().isdisjoint({first}), 240)
    [second] = service.versions()
    run = service.call("GET", "/admin/train")["last_run"]
    assert (run["exit_code"], run["version"]) == (0, second)
    assert set(liked).isdisjoint(service.items(USER))
    moved = service.call("POST", "/admin/versions/rollback")
    assert (moved["current"], moved["before"]) == (first, second)
    wait_until(lambda: service.versions() == {first}, 20)
    # What the user did is still known, whichever version answers.
    assert set(liked).isdisjoint(service.items(USER))


def test_an_erased_user_is_a_stranger_at_once_and_verifiably_gone_in_the_end(service, run):
    service.post(USER, service.items(USER)[0])
    assert service.items(USER) != service.items(STRANGER)
    service.call("DELETE", f"/users/{USER}")
    assert service.items(USER) == service.items(STRANGER)

    [first] = service.versions()
    left = run("users", "erase", USER, "--check")
    assert (left.returncode, f"no service uses it: {first}" in left.stdout) == (1, True)
    for item in ("item-001", "item-002"):
        # Pruning keeps the version that a rollback would go to: only the second lets it go.
        service.post("somebody else", item)
        trained = run("retrain", "--force")
        assert trained.returncode == 0, trained.stderr
    assert f"deleted {first}" in run("versions", "prune", "--keep", 1).stdout
    gone = run("users", "erase", USER, "--check")
    assert (gone.returncode, set(gone.stdout.splitlines())) == (0, ZEROS)
    wait_until(lambda: service.versions().isdisjoint({first}), 20)
    assert service.items(USER) == service.items(STRANGER)
    assert service.call("GET", f"/users/{USER}")["trained_items"] is None

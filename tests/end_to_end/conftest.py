"""Real processes: the installed command, its private Valkey server, HTTP over loopback."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from command_line import run_commands
from eventually import wait_until

MUTUALREC = Path(sys.executable).with_name("mutualrec")
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if not k.startswith("MUTUALREC_")},
    # New versions are looked for more often than by default, so that nobody waits for them here.
    "MUTUALREC_POLL_INTERVAL_S": "0.2",
}
QUICK = ["--set", "max_epochs=4", "--set", "eval_every=2", "--set", "num_threads=1"]


def mutualrec(
    *arguments: object, home: Path, kill_after: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, or kill -9 it after so many seconds."""
    with subprocess.Popen(
        [MUTUALREC, *map(str, arguments)],
        env={**ENVIRONMENT, "MUTUALREC_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=kill_after or 300)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


class Server:
    """The service as its own process group."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)
        self.log = home / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [MUTUALREC, "serve", "--port", str(self.port)],
                env={**ENVIRONMENT, "MUTUALREC_HOME": str(self.home)},
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: self.http.get("/health/ready").status_code == 200, 120)

    def kill(self) -> None:
        """Kill -9: no handler runs, nothing is flushed."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)
        self.http.close()

    def recommend(self, user: str, **params: object) -> dict[str, object]:
        response = self.http.get(f"/recommend/{user}", params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def items(self, user: str, k: int = 10) -> list[str]:
        return [item["item_id"] for item in self.recommend(user, k=k)["items"]]

    def version(self) -> str:
        return self.recommend("anyone", k=1)["model_version"]

    def post(self, **event: object) -> dict[str, int]:
        response = self.http.post("/interactions", json=event)
        assert response.status_code == 202, response.text
        return response.json()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which a small ensemble of MICRO and ItemCF is published."""
    home = tmp_path_factory.mktemp("published")
    data = home / "data"
    run_commands(
        home,
        ("import", "demo", data, "--users", 300, "--items", 120),
        ("train", data, "--model", "micro", *QUICK),
        ("train", data, "--model", "itemcf", "--param", "rank=32"),
        ("ensemble", data, "--weight", 1.0, "--weight", 0.5),
        ("publish", data),
    )
    return home


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Server]]:
    """Start a service on a workspace; it stops when the test ends."""
    with contextlib.ExitStack() as stack:

        def start(home: Path) -> Server:
            running = Server(home)
            stack.callback(running.stop)
            running.start()
            return running

        yield start


@pytest.fixture
def server(published: Path, tmp_path: Path, serve: Callable[[Path], Server]) -> Server:
    """A running service on a copy of the published workspace."""
    home = tmp_path / "home"
    shutil.copytree(published, home)
    return serve(home)


@pytest.fixture
def run(server: Server) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in the running service's workspace."""
    return partial(mutualrec, home=server.home)

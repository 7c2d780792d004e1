"""Several processes behind one address, started as people start them."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

pytestmark = pytest.mark.slow

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("MUTUALREC_")}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if condition():
                return
        time.sleep(0.05)
    pytest.fail("it did not happen within two minutes")


class Pair:
    """A service of two workers."""

    def __init__(self, home: Path) -> None:
        self.log = home / "server.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        program = (sys.executable, "-m", "mutualrec.main")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*program, "serve", "--port", str(port), "--workers", "2"],
                env={**ENVIRONMENT, "MUTUALREC_HOME": str(home)},
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
            )

    def starts(self) -> int:
        return self.log.read_text().count("Application startup complete")

    def wait_for_starts(self, count: int) -> None:
        wait_until(lambda: self.starts() == count or self.process.poll() is not None)
        assert self.starts() == count, self.log.read_text()

    def workers(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30)  # a connection each: any worker may answer

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)


@pytest.fixture
def pair(published: Path, tmp_path: Path) -> Iterator[Pair]:
    home = tmp_path / "home"
    shutil.copytree(published, home)
    pair = Pair(home)
    try:
        pair.wait_for_starts(2)
        yield pair
    finally:
        pair.stop()


def test_metrics_are_those_of_all_workers_and_a_dead_one_is_replaced(pair: Pair) -> None:
    for _ in range(20):
        assert pair.get("/recommend/user-0001").status_code == 200
    line = r'requests_total\{method="GET",route="/recommend/\{user_id\}",status="200"\} ([\d.]+)'
    counted = {re.search(line, pair.get("/metrics").text)[1] for _ in range(5)}
    assert counted == {"20.0"}
    dead = pair.workers()[0]
    dead.kill()
    pair.wait_for_starts(3)
    assert len(pair.workers()) == 2
    assert dead.pid not in {process.pid for process in pair.workers()}
    assert pair.get("/recommend/user-0001").status_code == 200


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_supervisor(pair: Pair, sign: signal.Signals) -> None:
    workers = pair.workers()
    assert len(workers) == 2
    pair.process.send_signal(sign)
    pair.process.wait(timeout=60)
    assert psutil.wait_procs(workers, timeout=60)[1] == []

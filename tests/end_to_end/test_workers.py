"""Several processes behind one address, started as people start them."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from eventually import wait_until

pytestmark = pytest.mark.slow

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("MUTUALREC_")}


class Pair:
    """A service of two workers."""

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        self.log = home / "server.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        program = (sys.executable, "-m", "mutualrec.main")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*program, "serve", "--port", str(port), "--workers", "2"],
                env={**ENVIRONMENT, "MUTUALREC_HOME": str(home), **variables},
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
        return [child for child in children if "mutualrec.main" in _command(child)]

    def pids(self) -> set[int]:
        return {worker.pid for worker in self.workers()}

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30)  # a connection each: any worker may answer

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # or it has ended and its parent does not know yet
        return []


def end(family: list[psutil.Process]) -> None:
    """Kill what is left: the private Redis of a killed service waits for the next one."""
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture
def begin(published: Path, tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    home = tmp_path / "home"
    shutil.copytree(published, home)
    family: list[psutil.Process] = []
    with contextlib.ExitStack() as stack:
        stack.callback(end, family)

        def start(**variables: str) -> Pair:
            pair = Pair(home, **variables)
            stack.callback(pair.stop)
            pair.wait_for_starts(2)
            family.extend(psutil.Process(pair.process.pid).children())
            return pair

        yield start


@pytest.fixture
def pair(begin: Callable[..., Pair]) -> Pair:
    return begin()


def test_metrics_are_those_of_all_workers_and_a_dead_one_is_replaced(pair: Pair) -> None:
    for _ in range(20):
        assert pair.get("/recommend/user-0001").status_code == 200
    line = r'requests_total\{method="GET",route="/recommend/\{user_id\}",status="200"\} ([\d.]+)'
    counted = {re.search(line, pair.get("/metrics").text)[1] for _ in range(5)}
    assert counted == {"20.0"}
    dead = pair.workers()[0]
    dead.kill()
    pair.wait_for_starts(3)
    assert len(pair.pids() - {dead.pid}) == 2
    assert pair.get("/recommend/user-0001").status_code == 200


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_supervisor(pair: Pair, sign: signal.Signals) -> None:
    workers = pair.workers()
    assert len(workers) == 2
    pair.process.send_signal(sign)
    pair.process.wait(timeout=60)
    assert psutil.wait_procs(workers, timeout=60)[1] == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes share less, or nothing")
def test_workers_share_what_was_loaded_before_they_were_forked(pair: Pair) -> None:
    for _ in range(50):
        assert pair.get("/recommend/user-0001").status_code == 200
    assert psutil.Process(pair.process.pid).num_threads() == 1
    for worker in pair.workers():
        memory = worker.memory_full_info()
        assert memory.uss < 0.4 * memory.rss


def test_all_workers_follow_a_new_version_and_a_replaced_one_begins_with_it(pair: Pair) -> None:
    def versions() -> set[str]:
        answers = [pair.get("/recommend/user-0001") for _ in range(20)]
        assert {answer.status_code for answer in answers} == {200}
        return {answer.json()["model_version"] for answer in answers}

    [old] = versions()
    command = [sys.executable, "-m", "mutualrec.main", "publish", str(pair.home / "data")]
    environ = {**ENVIRONMENT, "MUTUALREC_HOME": str(pair.home)}
    subprocess.run(command, env=environ, check=True, cwd=Path(__file__).parents[2])
    wait_until(lambda: old not in versions())
    [new] = versions()
    pair.workers()[0].kill()
    pair.wait_for_starts(3)
    assert versions() == {new}


def test_sighup_replaces_all_workers_and_no_request_fails(pair: Pair) -> None:
    before = pair.pids()
    pair.process.send_signal(signal.SIGHUP)
    statuses = set()
    while pair.starts() < 4 or pair.pids() & before:
        statuses.add(pair.get("/recommend/user-0001").status_code)
    assert statuses == {200}
    assert len(pair.pids()) == 2


def test_libraries_with_threads_of_their_own_work_in_forked_workers(begin) -> None:
    pair = begin(OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="2", MUTUALREC_INDEX="ivf")
    for path in ("/recommend/user-0001", "/similar/item-001", "/recommend/user-0001?diversity=0.5"):
        assert {pair.get(path).status_code for _ in range(10)} == {200}


def test_every_worker_counts_what_it_recommended_as_its_own(pair: Pair) -> None:
    named = [pair.get("/recommend/user-0001").json()["recommendation_id"] for _ in range(40)]
    assert len(set(named)) == 40

    def counted() -> int:
        return pair.get("/admin/experiments").json()["outside"]["recommendations"]

    wait_until(lambda: counted() == 40)


def test_every_worker_sends_its_traces(begin) -> None:
    pair = begin(MUTUALREC_TRACING="true", OTEL_TRACES_EXPORTER="console")
    for _ in range(20):
        assert pair.get("/recommend/user-0001").status_code == 200
    pair.stop()
    assert pair.log.read_text().count('"name": "GET /recommend/{user_id}"') == 20

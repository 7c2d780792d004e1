"""Real processes: the service, and the endpoint it is compared with."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.load.empty import BODY
from benchmarks.servers import free_port

# A million items are sorted into cells first.
_START_S = 1200.0
_POLL_S = 0.05
_NOT_FILES = ("Pss_Anon", "Pss_Shmem")
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ (\w+ \S+ \d+) +(/.*)$")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Server:
    """A started process that answers HTTP, and those it started."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.port = port
        self._popen = process
        self._log = log

    def wait_until(self, path: str) -> None:
        """Waits until a path answers 200.

        Raises:
            RuntimeError: it ended or did not within twenty minutes; with the end of its log.
        """
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._popen.poll() is None:
            with suppress(OSError):
                self.get(path)
                return
            time.sleep(_POLL_S)
        raise RuntimeError(f"no answer at {path}; log: {self._log.read_text()[-2000:]}")

    def get(self, path: str) -> bytes:
        """The body of an answer."""
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            body: bytes = answer.read()
        return body

    def cpu_s(self) -> float:
        """Processor seconds spent so far, of all processes."""
        return sum(_cpu_s(pid) for pid in self._family())

    def memory_mib(self) -> float:
        """Memory of all processes, what they share counted once.

        What is mapped from files counts wholly, even if programs of others have the same libraries
        mapped. Of a file that several of these processes have mapped, the one that has most of it
        in memory counts, since they read the same parts.
        """
        family = self._family()
        own = sum(_kib(pid, "smaps_rollup", name) for pid in family for name in _NOT_FILES)
        mapped: dict[str, int] = {}
        for pid in family:
            for place, size in _mapped_kib(pid).items():
                mapped[place] = max(size, mapped.get(place, 0))
        return (own + sum(mapped.values())) / 1024

    def own_mib(self) -> float:
        """Memory that is not mapped from files, of all processes."""
        return sum(_kib(pid, "status", "RssAnon") for pid in self._family()) / 1024

    def _family(self) -> list[int]:
        """The process and all that it started, directly or not."""
        found = [self._popen.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        return found

    def workers(self) -> list[int]:
        """Processes that the first one started."""
        return [pid for pid in self._family() if pid != self._popen.pid]

    def hang_up(self) -> None:
        """Has the workers replaced."""
        self._popen.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """Stops it in order."""
        self._popen.send_signal(signal.SIGTERM)
        try:
            self._popen.wait(30)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


@contextmanager
def service(
    home: Path, redis_url: str, *, workers: int = 1, variables: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """`mutualrec serve` on a free port, ready to answer."""
    port = free_port()
    command = [sys.executable, "-m", "mutualrec.main", "serve", "--home", str(home)]
    command += ["--port", str(port), "--workers", str(workers)]
    environ = {"MUTUALREC_REDIS_URL": redis_url, **(variables or {})}
    with _started(command, environ, port, home / "service.log") as server:
        server.wait_until("/health/ready")
        yield server


@contextmanager
def empty_endpoint(folder: Path, body: bytes) -> Iterator[Server]:
    """An empty FastAPI endpoint that returns this JSON, served as the service is."""
    port = free_port()
    (folder / "body.json").write_bytes(body)
    command = [sys.executable, "-m", "uvicorn", "benchmarks.load.empty:create_empty", "--factory"]
    command += ["--port", str(port), "--no-access-log", "--no-server-header"]
    environ = {BODY: str(folder / "body.json")}
    with _started(command, environ, port, folder / "empty.log") as server:
        server.wait_until("/recommend/u0")
        yield server


@contextmanager
def _started(
    command: list[str], environ: Mapping[str, str], port: int, log: Path
) -> Iterator[Server]:
    # What is set for BLAS here is not what a user has.
    own = ("MUTUALREC_", "OPENBLAS_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**inherited, **threads, **environ}, stdout=output, stderr=output
        )
    server = Server(process, port, log)
    try:
        yield server
    finally:
        server.stop()


def _cpu_s(pid: int) -> float:
    # The name of the program, in brackets, may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _mapped_kib(pid: int) -> dict[str, int]:
    """KiB in memory by what is mapped: an offset in a file, what was written to left out."""
    sizes: dict[str, int] = {}
    place = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("Rss", "Anonymous") and place:
            sign = 1 if name == "Rss" else -1
            sizes[place] = sizes.get(place, 0) + sign * int(value.split()[0])
        elif line[:1] in "0123456789abcdef":
            found = _MAPPING.match(line)
            place = found[0].partition(" ")[2] if found else ""
    return sizes


def _kib(pid: int, file: str, name: str) -> int:
    found = re.search(
        rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE
    )
    return int(found[1]) if found else 0

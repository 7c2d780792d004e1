"""The service and a drainer as processes that may be killed."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.servers import free_port

ROOT = Path(__file__).parents[2]
_START_TIMEOUT_S = 60.0
_POLL_S = 0.05


class _Process:
    """A Python process of this checkout, its output in a log."""

    def __init__(self, arguments: list[str], log: Path, **environment: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MUTUALREC_")}
        self._environment = kept | {"OMP_NUM_THREADS": "1"} | environment
        self._arguments = arguments
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Starts it, without waiting until it works."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self._arguments],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Raises RuntimeError if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"{self._arguments} ended; its log is {self._log}")


class ServiceProcess(_Process):
    """`mutualrec serve` without a version: it takes events."""

    def __init__(self, folder: Path, redis_url: str, **settings: str) -> None:
        """Starts nothing yet.

        Args:
            folder: its home and its log.
            redis_url: where events go.
            settings: further settings by name, without their prefix.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        given = {f"MUTUALREC_{name.upper()}": value for name, value in settings.items()}
        arguments = ["-m", "mutualrec.main", "serve", "--port", str(self.port)]
        super().__init__(
            [*arguments, "--home", str(folder)],
            folder / "service.log",
            MUTUALREC_REDIS_URL=redis_url,
            MUTUALREC_LOG_LEVEL="error",
            **given,
        )

    def start(self) -> None:
        """Starts it and waits until it answers.

        Raises:
            RuntimeError: it does not within a minute.
        """
        self.launch()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/live").close()
                return
            time.sleep(_POLL_S)
        raise RuntimeError(f"the service does not answer on port {self.port}")


class DrainerProcess(_Process):
    """Drains and compacts a log again and again."""

    def __init__(self, folder: Path, redis_url: str, log: Path, batch_size: int) -> None:
        """Starts nothing yet.

        Args:
            folder: for its output.
            redis_url: where events come from.
            log: the catalog's event log.
            batch_size: entries per segment; small ones make many moments to die at.
        """
        self._ready = folder / "drainer.ready"
        module = "benchmarks.ingestion.drainer"
        super().__init__(
            ["-m", module, redis_url, str(log), str(batch_size), str(self._ready)],
            folder / "drainer.log",
        )

    def start(self) -> None:
        """Starts it and waits until it drains.

        Raises:
            RuntimeError: it does not within a minute.
        """
        self._ready.unlink(missing_ok=True)
        self.launch()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._ready.exists():
            self.check()
            if time.monotonic() > deadline:
                raise RuntimeError("the drainer does not start")
            time.sleep(_POLL_S)

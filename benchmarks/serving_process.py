"""A workspace whose commands and service are processes of their own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.servers import free_port
from mutualrec.client import Client, MutualRecError

MODELS = {
    "lightgcn": ("--param", "reg_weight=0.001"),
    "bpr": ("--param", "reg_weight=0.01"),
    "ease": (),
}
TRAINING = (
    *("--set", "learning_rate=0.005", "--set", "max_epochs=60", "--set", "eval_every=5"),
    *("--set", "patience=2", "--set", "num_threads=1"),
)
_START_TIMEOUT_S = 120.0
_POLL_S = 0.05


def command(home: Path, *arguments: str) -> int:
    """Run a `mutualrec` command in a workspace; returns its exit code."""
    return subprocess.run([*_program(), *arguments], env=_environment(home)).returncode


def publish_first(data: Path, model: str, home: Path) -> None:
    """Train a model on a dataset folder as retraining will, and publish it in a new workspace."""
    home.mkdir()
    split = ("--split", "leave_last_out_validation")
    for arguments in (
        ("train", str(data), "--model", model, *MODELS[model], *TRAINING, *split),
        ("ensemble", str(data)),
        ("publish", str(data)),
    ):
        if command(home, *arguments) != 0:
            raise SystemExit(f"mutualrec {arguments[0]} failed")


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """Serve a workspace; yields where.

    Raises:
        RuntimeError: It does not answer within two minutes.
    """
    port = free_port()
    with (home / "service.log").open("ab") as log:
        process = subprocess.Popen(
            [*_program(), "serve", "--port", str(port)],
            env=_environment(home),
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process, home)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait(url: str, process: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with Client(url) as client:
                client.popular(k=1)
                return
        except MutualRecError:
            time.sleep(_POLL_S)
    raise RuntimeError(f"the service does not answer; its log is {home / 'service.log'}")


def _program() -> list[str]:
    return [sys.executable, "-m", "mutualrec.main"]


def _environment(home: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MUTUALREC_")}
    return {**ours, "MUTUALREC_HOME": str(home), "OMP_NUM_THREADS": "1"}

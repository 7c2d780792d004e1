"""Seconds from `git clone` to the first recommendation of `make run`.

    python -m benchmarks.clone_to_answer

Clones this checkout into a temporary folder, runs `make run` there with an empty environment
folder, asks the service until it answers, and stops it. The packages come from wherever pip is
configured to take them, so the figure includes that download.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.rows import Row, command_line, commit, machine, write_rows

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Measure and write `results/clone_to_answer.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--limit-s", type=float, default=900.0)
    arguments = parser.parse_args()
    commit()
    folder = Path(tempfile.mkdtemp(prefix="clone-"))
    try:
        begin = time.monotonic()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "clone")], check=True)
        first = _until_answer(folder / "clone", arguments, begin)
        again = _until_answer(folder / "clone", arguments, time.monotonic())
        training = sum(
            json.loads(path.read_text())["seconds"]
            for path in (folder / "clone" / "var" / "runs").glob("*/*/result.json")
        )
    finally:
        shutil.rmtree(folder)
    measured = {
        "clone_to_first_answer_seconds": first,
        "second_run_to_answer_seconds": again,
        "training_seconds": training,
    }
    write_rows("clone_to_answer", [_row(name, value) for name, value in measured.items()])


def _until_answer(clone: Path, arguments: argparse.Namespace, begin: float) -> float:
    """Run `make run` until it has answered once; returns the seconds since `begin`."""
    environment = {**os.environ, "MUTUALREC_PORT": str(arguments.port)}
    environment.pop("VIRTUAL_ENV", None)
    process = subprocess.Popen(["make", "run"], cwd=clone, env=environment, start_new_session=True)
    url = f"http://127.0.0.1:{arguments.port}/recommend/user-0001"
    try:
        while time.monotonic() - begin < arguments.limit_s:
            if process.poll() is not None:
                raise SystemExit(f"make run ended with exit code {process.returncode}")
            try:
                with urllib.request.urlopen(url, timeout=5) as response:
                    if json.load(response)["items"]:
                        return time.monotonic() - begin
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        raise SystemExit(f"no answer within {arguments.limit_s} s")
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=60)


def _row(metric: str, value: float) -> Row:
    return Row(
        benchmark="clone_to_answer",
        dataset="demo",
        model="ensemble",
        setting=machine(),
        metric=metric,
        value=round(value, 1),
        low=None,
        high=None,
        seeds=[0],
        command=command_line(),
        commit=commit(),
    )


if __name__ == "__main__":
    main()

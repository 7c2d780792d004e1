"""Processes that are watched: started, replaced one by one, stopped, and none of them lost."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Workers that do nothing but wait; what happens is printed, a line each.
PROGRAM = """
import json, multiprocessing, os, signal, sys, time
from pathlib import Path
from mutualrec.workers.supervisor import Supervisor
from mutualrec.workers.worker import ALIVE, STARTED, STARTUP_FAILED, take_signals

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def waits(supervisor, beats):
    take_signals()
    beats.send_bytes(STARTED)
    say("started", os.getpid())
    while True:
        time.sleep(60)

def cannot_start(supervisor, beats):
    say("tries", os.getpid())
    sys.exit(STARTUP_FAILED)

def is_silent(supervisor, beats):
    say("started", os.getpid())
    while True:
        time.sleep(60)

def ignores_signals(supervisor, beats):
    beats.send_bytes(STARTED)
    say("started", os.getpid())
    while True:
        time.sleep(60)

def starts_once(supervisor, beats):
    take_signals()
    if Path(sys.argv[2]).exists():
        say("tries", os.getpid())
        sys.exit(1)
    beats.send_bytes(STARTED)
    say("started", os.getpid())
    while True:
        time.sleep(60)

def is_told_at_once(supervisor, beats):
    os.kill(os.getpid(), signal.SIGTERM)
    say("started", os.getpid())
    take_signals()
    say("never")

what, _, options = sys.argv[1].partition(":")
supervisor = Supervisor(
    multiprocessing.get_context("fork"),
    globals()[what],
    2,
    prepare=lambda: say("prepared"),
    **{"stop_s": 30.0, **json.loads(options or "{}")},
)
say("served", supervisor.run())
"""


class Watched:
    """The program, and what it said."""

    def __init__(self, what: str, folder: Path) -> None:
        self.mark = folder / "mark"
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, what, self.mark],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )

    def hears(self, word: str) -> int:
        """The number after the next line's word, which must be this one."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().split()
        assert line[0] == word
        return int(line[1]) if line[1:] and line[1].isdigit() else 0

    def ends(self) -> str:
        """What it still says until it ends."""
        return self.process.communicate(timeout=30)[0]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[object]:
    started: list[Watched] = []

    def begin(what: str) -> Watched:
        started.append(Watched(what, tmp_path))
        return started[-1]

    yield begin
    for each in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.communicate()


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() if Path("/proc").exists() else os.kill(pid, 0) is None


def test_a_worker_that_dies_is_replaced(watch) -> None:
    watched = watch("waits")
    first, second = watched.hears("started"), watched.hears("started")
    os.kill(first, signal.SIGKILL)
    assert watched.hears("started") not in {first, second}
    assert is_there(second)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_stops_all_and_says_so(watch, sign) -> None:
    watched = watch("waits")
    workers = [watched.hears("started"), watched.hears("started")]
    watched.process.send_signal(sign)
    assert watched.ends() == "served True\n"
    assert watched.process.returncode == 0
    assert not any(map(is_there, workers))


def test_sighup_replaces_all_one_by_one_after_what_they_share_was_brought_up_to_date(watch) -> None:
    watched = watch("waits")
    old = [watched.hears("started"), watched.hears("started")]
    watched.process.send_signal(signal.SIGHUP)
    watched.hears("prepared")
    new = [watched.hears("started"), watched.hears("started")]
    watched.process.send_signal(signal.SIGTERM)
    assert watched.ends() == "served True\n"
    assert not set(old) & set(new)


def test_a_successor_that_does_not_start_leaves_the_worker_where_it_is(watch) -> None:
    watched = watch("starts_once")
    old = [watched.hears("started"), watched.hears("started")]
    watched.mark.touch()
    watched.process.send_signal(signal.SIGHUP)
    watched.hears("prepared")
    watched.hears("tries")
    watched.process.send_signal(signal.SIGTERM)
    assert watched.ends() == "served True\n"
    assert not any(map(is_there, old))


def test_a_worker_that_cannot_start_ends_it(watch) -> None:
    watched = watch("cannot_start")
    watched.hears("tries")
    watched.hears("tries")
    assert watched.ends() == "served False\n"


def test_a_worker_without_a_sign_of_life_is_killed_and_replaced(watch) -> None:
    watched = watch('is_silent:{"silent_s": 0.4}')
    first, second = watched.hears("started"), watched.hears("started")
    assert watched.hears("started") not in {first, second}
    assert not (is_there(first) and is_there(second))  # either may have been the first to start


def test_a_worker_that_does_not_stop_in_time_is_killed(watch) -> None:
    watched = watch('ignores_signals:{"stop_s": 0.1}')
    workers = [watched.hears("started"), watched.hears("started")]
    watched.process.send_signal(signal.SIGTERM)
    assert watched.ends() == "served True\n"
    assert not any(map(is_there, workers))


def test_a_worker_told_to_stop_before_it_listens_stops(watch) -> None:
    watched = watch("is_told_at_once")
    watched.hears("started")
    watched.hears("started")
    watched.process.send_signal(signal.SIGTERM)
    assert "never" not in watched.ends()

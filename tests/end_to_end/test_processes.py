"""Commands that are told to stop, killed, or run beside each other."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training.data.dataset import read_dataset

pytestmark = pytest.mark.slow

MUTUALREC = Path(sys.executable).with_name("mutualrec")


def private_servers(home: Path) -> list[int]:
    """Processes that work in the folder of the private server."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == (home / "redis").resolve():
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_service_told_to_stop_takes_its_private_server_with_it(server, sign) -> None:
    assert len(private_servers(server.home)) == 1
    server.process.send_signal(sign)
    server.process.wait(timeout=60)
    assert private_servers(server.home) == []


def test_a_retraining_told_to_stop_takes_its_private_server_with_it(server) -> None:
    server.post(user_id="user-0001", item_id="item-001")
    server.stop()
    retraining = subprocess.Popen(
        [MUTUALREC, "retrain", "--home", str(server.home)], stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list((server.home / "retraining").glob("*/*/dataset")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    retraining.terminate()
    assert retraining.wait(timeout=60) == 128 + signal.SIGTERM
    assert private_servers(server.home) == []


def test_two_services_of_one_home_share_events_and_either_may_stop_first(server) -> None:
    second = type(server)(server.home)
    second.start()
    try:
        server.post(user_id="user-0001", item_id="item-001")
        assert "item-001" not in second.items("user-0001", k=100)
        server.stop()
        assert second.post(user_id="user-0001", item_id="item-002")["accepted"] == 1
        assert second.recommend("user-0001")["degraded"] is False
    finally:
        second.stop()
    assert private_servers(server.home) == []


@pytest.mark.parametrize("after_s", [0.5, 1.5, 2.5])
def test_an_import_that_is_killed_leaves_no_dataset_or_a_whole_one(after_s, tmp_path) -> None:
    importing = subprocess.Popen(
        [MUTUALREC, "import", "demo", str(tmp_path / "data"), "--users", "20000"],
        stdout=subprocess.DEVNULL,
    )
    time.sleep(after_s)
    os.kill(importing.pid, signal.SIGKILL)
    importing.wait()
    data = tmp_path / "data"
    assert not data.exists() or read_dataset(data).num_users == 20000

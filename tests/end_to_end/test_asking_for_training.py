"""POST /admin/train reaches a scheduler that shares nothing with the service but Redis."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from eventually import wait_until

pytestmark = pytest.mark.slow

MUTUALREC = Path(sys.executable).with_name("mutualrec")


@pytest.fixture
def scheduler(server):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MUTUALREC_")}
    with (server.home / "scheduler.log").open("wb") as log:
        process = subprocess.Popen(
            [MUTUALREC, "scheduler", "--home", str(server.home)],
            env={**environment, "MUTUALREC_TRAIN_CRON": "0 0 1 1 *"},
            stdout=log,
            stderr=log,
        )
    yield process
    process.kill()
    process.wait()


def test_a_training_that_is_asked_for_is_served_and_reported(server, scheduler):
    server.post(user_id="newcomer", item_id="item-001")
    asked = server.http.post("/admin/train")
    assert asked.status_code == 202

    def status():
        return server.http.get(asked.json()["status"]).json()

    wait_until(lambda: status()["request"]["state"] == "done", 180)
    run = status()["last_run"]
    assert run["request_id"] == asked.json()["request_id"]
    assert (run["state"], run["exit_code"] in (0, 20)) == ("finished", True)
    wait_until(lambda: server.version() == run["version"], 60)
    assert status()["scheduler"]["next_run_at"].endswith("-01-01T00:00:00.000Z")
    log = server.home / "scheduler.log"
    wait_until(lambda: "trained catalog=" in log.read_text(), 60)
    scheduler.send_signal(signal.SIGTERM)
    assert scheduler.wait(timeout=60) == 128 + signal.SIGTERM
    wait_until(lambda: status()["scheduler"] is None, 30)
    told = log.read_text()
    assert "training catalog=default because='it was asked for'" in told
    assert f"trained catalog=default exit_code={run['exit_code']} result={run['result']}" in told

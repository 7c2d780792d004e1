"""`mutualrec retrain` trains under the lease of its catalog."""

from contextlib import contextmanager

import pytest
import redis
import typer

from mutualrec.retraining.leased import exit_of, while_held
from service.errors import TrainerFenced
from service.scheduling.keys import TrainingKeys
from service.scheduling.lease import acquire, holder_of
from service.scheduling.status import read_status

KEYS = TrainingKeys("default")


@pytest.fixture
def client(redis_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MUTUALREC_REDIS_URL", redis_url)
    with redis.Redis.from_url(redis_url) as client:
        yield client


def test_it_is_refused_while_another_trainer_is_at_work(invoke, workspace, client):
    pointer = workspace / "var" / "artifacts" / "default" / "CURRENT"
    before = pointer.read_text()
    acquire(client, "default", ttl_s=60.0, used_token=0, owner="gpu-1:4711:aa")
    refused = invoke("retrain")
    assert (refused.code, pointer.read_text()) == (1, before)
    assert "is being retrained by gpu-1, process 4711" in refused.err


def test_it_gives_the_lease_back_and_leaves_its_token_with_the_versions(invoke, workspace, client):
    assert invoke("retrain").code == 10
    assert holder_of(client, "default") is None
    assert (workspace / "var" / "artifacts" / "default" / "FENCE").read_text() == "1\n"
    client.flushall()
    assert invoke("retrain").code == 10
    assert (workspace / "var" / "artifacts" / "default" / "FENCE").read_text() == "2\n"


def test_a_trainer_learns_between_two_epochs_that_its_lease_is_gone(client):
    lease = acquire(client, "default", ttl_s=60.0, used_token=0)
    reported = []

    @contextmanager
    def progress(_name, _epochs, _metric):
        yield reported.append

    with while_held(lease, progress)("bpr", 2, "recall@20") as report:
        report("first")
        client.set(KEYS.lease, "2 host:2:bb")
        with pytest.raises(TrainerFenced):
            lease.confirm()
        with pytest.raises(TrainerFenced):
            report("second")
    assert reported == ["first"]


def test_its_end_is_recorded_with_exit_code_and_version(invoke, workspace, client):
    assert invoke("retrain").code == 10
    run = read_status(client, "default").run
    pointer = workspace / "var" / "artifacts" / "default" / "CURRENT"
    assert run is not None
    assert (run.exit_code, run.message) == (10, "nothing new")
    assert run.version == pointer.read_text().strip()


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (None, (0, "promoted")),
        (typer.Exit(20), (20, "refused")),
        (SystemExit(143), (143, "ended with exit code 143")),
        (KeyboardInterrupt(), (130, "interrupted")),
        (OSError("no space left"), (1, "OSError: no space left")),
    ],
)
def test_every_way_to_end_has_its_exit_code_and_reason(error, ending):
    assert exit_of(error) == ending

"""Trainers and schedulers that are killed, stopped, or started together."""

import random
import signal
import time

import pytest
from training_world import Found, World, trainers_of, until

from service.scheduling.status import RESULTS

pytestmark = pytest.mark.slow

EVENTS = 40


def train(world: World) -> int:
    """One training that is left alone, once the lease of a dead one has run out."""
    until(lambda: world.status.holder is None)
    return world.start("retrain").wait(timeout=300)


def settle(world: World) -> Found:
    """Trains until there is nothing new, and counts."""
    codes = [train(world), train(world)]
    assert codes[0] in RESULTS
    assert codes[1] in (10, 20)
    return world.find()


def is_whole(found: Found, world: World) -> bool:
    return (found.events, found.lost, found.unknown, found.waiting, len(found.faults)) == (
        *(len(world.sent), 0, 0, 0, 0),
    )


def test_a_killed_trainer_loses_nothing_and_leaves_one_current_version(
    world: World, kills: int, rng: random.Random
):
    world.send(EVENTS)
    trainer = world.start("retrain")
    until(lambda: world.status.holder is not None)
    seconds = until(lambda: trainer.poll() is not None)
    at_work = 0
    for _ in range(kills):
        world.send(EVENTS)
        until(lambda: world.status.holder is None)
        trainer = world.start("retrain")
        until(lambda trainer=trainer: world.status.holder is not None or trainer.poll() is not None)
        time.sleep(rng.uniform(0, seconds))
        at_work += trainer.poll() is None
        trainer.kill()
        trainer.wait()
    found = settle(world)
    print(f"kills={kills} at_work={at_work} sent={len(world.sent)} {found}")  # noqa: T201
    assert at_work >= kills // 4  # later trainings may be quicker than the first was
    assert is_whole(found, world)
    assert list((world.home / "artifacts" / "default").glob("CURRENT*")) == [
        world.home / "artifacts" / "default" / "CURRENT"
    ]


def test_a_killed_scheduler_loses_nothing_and_its_successor_goes_on(
    world: World, kills: int, rng: random.Random
):
    settings = {"train_cron": "", "train_after_events": 1, "train_nice": 0}
    for _ in range(kills):
        world.send(EVENTS)
        scheduler = world.start("scheduler", **settings)
        time.sleep(rng.uniform(0, 12))
        assert scheduler.poll() is None
        scheduler.kill()
        scheduler.wait()
    world.send(EVENTS)
    scheduler = world.start("scheduler", **settings)
    # Its own training, or the one that a killed scheduler has left, has dealt with every event.
    until(lambda: world.status.learned >= len(world.sent), 300)
    until(lambda: world.status.holder is None)
    scheduler.send_signal(signal.SIGTERM)
    assert scheduler.wait(timeout=60) == 128 + signal.SIGTERM
    until(lambda: trainers_of(world.home) == [])
    found = settle(world)
    print(f"kills={kills} sent={len(world.sent)} {found}")  # noqa: T201
    assert is_whole(found, world)


def test_two_schedulers_and_a_cron_job_started_together_train_once(world: World):
    world.send(EVENTS)
    before = world.find().versions
    settings = {"train_cron": "", "train_after_events": EVENTS, "train_nice": 0}
    schedulers = [world.start("scheduler", **settings) for _ in range(2)]
    cron_job = world.start("retrain")
    until(lambda: world.status.learned >= EVENTS, 300)
    assert cron_job.wait(timeout=60) in (0, 1, 10, 20)
    until(lambda: trainers_of(world.home) == [] and world.status.holder is None)
    for scheduler in schedulers:
        scheduler.send_signal(signal.SIGTERM)
        scheduler.wait(timeout=60)
    found = world.find()
    assert found.versions == before + 1
    assert is_whole(found, world)


def test_a_trainer_that_was_stopped_until_another_had_its_lease_cannot_publish(world: World):
    world.send(EVENTS)
    late = world.start("retrain")
    until(lambda: list((world.home / "retraining" / "default").glob("*/dataset/dataset.toml")))
    late.send_signal(signal.SIGSTOP)
    until(lambda: world.status.holder is None)
    # On its own machine the late one still has the lock of the workspace; another machine's trainer
    # shares the versions and the log only.
    elsewhere = world.home.with_name("elsewhere")
    elsewhere.mkdir()
    for shared in ("artifacts", "events"):
        (elsewhere / shared).symlink_to(world.home / shared)
    other = world.start("retrain", home=elsewhere)
    assert other.wait(timeout=300) in RESULTS
    current = world.find().current
    late.send_signal(signal.SIGCONT)
    assert late.wait(timeout=300) == 1
    assert world.find().current == current
    log = (world.home / "processes.log").read_text()
    assert "run the retraining again" in log

"""The scheduler: when it trains, and how it treats the training's process."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from mutualrec.retraining import child
from mutualrec.retraining.child import TIMED_OUT, Ended, Limits, run_limited
from mutualrec.retraining.cron import CronInvalid, cron_trigger
from mutualrec.retraining.scheduler import Scheduler
from service.scheduling.keys import TrainingKeys
from service.scheduling.lease import acquire
from service.scheduling.occasions import Occasions, Pauses, Reason
from service.scheduling.status import read_status
from service.settings import Settings
from service.store.connection import connect_blocking

KEYS = TrainingKeys("default")
SUNDAY = datetime(2026, 3, 1, tzinfo=UTC)
QUICK = Limits(max_s=30, grace_s=30)


class Stop(Exception):
    """Ends `Scheduler.run`, as a signal does."""


@pytest.fixture
def client(redis_url: str):
    with connect_blocking(redis_url) as client:
        yield client


def scheduler(client, train: Callable[[str], Ended], **settings: object) -> Scheduler:
    given = Settings.load({}, **{"train_cron": ""} | settings)
    occasions = Occasions(client, given.train_after_events)
    return Scheduler(given, occasions, Pauses(), lambda: ["default"], train)


def ask(client, request_id: str) -> None:
    client.hset(KEYS.request, mapping={"id": request_id, "requested_at_ms": 1})


def test_it_trains_what_it_is_asked_to(client):
    trained = []

    def train(catalog: str) -> Ended:
        trained.append(catalog)
        raise Stop

    ask(client, "w1")
    with pytest.raises(Stop):
        scheduler(client, train).run()
    assert trained == ["default"]


def test_it_trains_by_the_clock(client):
    def train(_catalog: str) -> Ended:
        raise Stop

    due = scheduler(client, train, train_cron="* * * * *")
    (job,) = [job for job in due._clock.get_jobs() if job.id == "cron"]
    job.func()
    with pytest.raises(Stop):
        due.train_next()


def test_being_wanted_twice_before_it_begins_is_one_training(client):
    trained = []

    def train(catalog: str) -> Ended:
        trained.append(catalog)
        return Ended(10, 0.1)

    due = scheduler(client, train)
    due.want("default", Reason("it is time"))
    due.want("default", Reason("5 new events"))
    due.want("funds", Reason("it is time"))
    due.train_next()
    due.train_next()
    assert trained == ["default", "funds"]


def test_a_training_that_failed_is_not_repeated_at_once(client):
    trained = []

    def train(catalog: str) -> Ended:
        trained.append(catalog)
        return Ended(-signal.SIGKILL, 0.1)

    due = scheduler(client, train)
    ask(client, "w1")
    due.watch()
    due.train_next()
    due.watch()
    ask(client, "w2")
    due.watch()
    due.train_next()
    due.watch()
    assert (trained, due._due.qsize()) == (["default", "default"], 0)


def test_a_request_is_left_to_the_trainer_that_is_at_work_and_asked_again_afterwards(client):
    lease = None

    def train(_catalog: str) -> Ended:
        nonlocal lease
        lease = acquire(client, "default", ttl_s=60, used_token=0)
        return Ended(1, 0.1)

    due = scheduler(client, train)
    ask(client, "w1")
    due.watch()
    due.train_next()
    due.watch()
    assert due._due.qsize() == 0
    lease.release()
    due.watch()
    assert due._due.qsize() == 1


def test_it_says_that_it_is_alive_and_when_it_trains_next(client):
    seen = []

    def train(_catalog: str) -> Ended:
        seen.append(read_status(client, "default").schedule)
        raise Stop

    ask(client, "w1")
    with pytest.raises(Stop):
        scheduler(client, train, train_cron="0 0 1 1 *", train_after_events=7).run()
    (schedule,) = seen
    assert (schedule.cron, schedule.after_events) == ("0 0 1 1 *", 7)
    moment = datetime.fromtimestamp(schedule.next_run_at_ms / 1000, UTC)
    assert (moment.month, moment.day, moment.hour, moment.minute) == (1, 1, 0, 0)
    assert 0 < client.pttl(KEYS.schedule) <= 10_000


def test_it_goes_on_without_redis_and_says_so_once(tmp_path, caplog):
    with connect_blocking(f"unix://{tmp_path}/nobody.sock") as client:
        due = scheduler(client, lambda _: Ended(0, 0.1))
        due.watch()
        due.watch()
    assert caplog.text.count("only the clock starts trainings") == 1


@pytest.mark.parametrize(
    ("expression", "day"),
    [("0 3 * * 0", 1), ("0 3 * * 7", 1), ("0 3 * * 1-5", 2), ("0 3 * * sat", 7), ("0 3 * * 6", 7)],
)
def test_days_of_the_week_are_those_of_cron(expression, day):
    moment = cron_trigger(expression).get_next_fire_time(None, SUNDAY)
    assert (moment.day, moment.hour) == (day, 3)


def test_steps_and_lists_of_days_are_those_of_cron():
    trigger = cron_trigger("0 3 * * */3,5")
    days = []
    moment = SUNDAY
    for _ in range(4):
        moment = trigger.get_next_fire_time(moment, moment)
        days.append(moment.strftime("%a"))
        moment = moment.replace(hour=4)
    assert days == ["Sun", "Wed", "Fri", "Sat"]


@pytest.mark.parametrize("expression", ["hourly", "0 3 * *", "61 * * * *", "0 3 * * 5-1"])
def test_a_wrong_expression_is_refused_with_an_example(expression):
    with pytest.raises(CronInvalid, match=r"MUTUALREC_TRAIN_CRON='30 3 \* \* 1-5'"):
        cron_trigger(expression)


def test_the_command_refuses_a_wrong_expression(invoke, redis_url, monkeypatch):
    monkeypatch.setenv("MUTUALREC_REDIS_URL", redis_url)
    monkeypatch.setenv("MUTUALREC_TRAIN_CRON", "hourly")
    refused = invoke("scheduler")
    assert (refused.code, "is no cron expression" in refused.err) == (1, True)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_training_ends_with_its_own_exit_code():
    assert run_limited(python("raise SystemExit(20)"), QUICK).exit_code == 20


def shell(code: str) -> list[str]:
    return ["sh", "-c", code]


def test_a_training_that_takes_too_long_is_told_to_stop(tmp_path):
    code = f"trap 'echo in order > {tmp_path}/note; exit 0' TERM; while :; do sleep 0.05; done"
    assert run_limited(shell(code), Limits(max_s=0.5, grace_s=30)).exit_code == TIMED_OUT
    assert (tmp_path / "note").read_text() == "in order\n"


def test_a_training_that_does_not_stop_is_killed():
    ended = run_limited(shell("trap '' TERM; sleep 60"), Limits(max_s=0.5, grace_s=0.1))
    assert (ended.exit_code, ended.seconds < 30) == (TIMED_OUT, True)


def test_a_training_is_polite():
    polite = "os.getpriority(os.PRIO_PROCESS, 0) == 15 and len(os.sched_getaffinity(0)) == 1"
    code = f"import os, time\nwhile not ({polite}): time.sleep(0.02)"
    assert run_limited(python(code), Limits(max_s=30, grace_s=1, nice=15, cores=1)).exit_code == 0


def test_whatever_ends_the_wait_ends_the_training(tmp_path):
    # The training itself signals that it runs, by the signal that stops the scheduler.
    code = f"echo $$ > {tmp_path}/pid; kill -USR1 {os.getpid()}; sleep 60"
    before = signal.signal(signal.SIGUSR1, _raise)
    try:
        with pytest.raises(Stop):
            run_limited(shell(code), QUICK)
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_signal_before_the_training_is_made_makes_none(monkeypatch):
    class Interrupted(ThreadPoolExecutor):
        def submit(self, *args, **kwargs):
            super().submit(*args, **kwargs)
            raise Stop

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], **_: object) -> None:
            made.append(command)
            raise OSError("refused by the test")

    made: list[list[str]] = []
    monkeypatch.setattr(child, "ThreadPoolExecutor", Interrupted)
    monkeypatch.setattr(subprocess, "Popen", Recorded)
    with pytest.raises(Stop):
        run_limited(shell("true"), QUICK)
    assert made == []


def _raise(*_: object) -> None:
    raise Stop

"""A command that is told to stop ends, whatever it is doing at that moment."""

import signal
import sys
import time

import pytest

from mutualrec.stopping import stopping_in_order


class Freed:
    """Something is done in its finaliser, from where no exception comes out."""

    def __init__(self, done) -> None:
        self.done = done

    def __del__(self) -> None:
        self.done()


def free(done) -> None:
    Freed(done)


def stopped_by(sign: signal.Signals, tell=signal.raise_signal) -> BaseException | None:
    """Return what ended a block that would last long, and in which a signal came."""
    # A shell lets what it runs in the background ignore Ctrl-C, and that may be these tests.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stopping_in_order():
            tell(sign)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                time.sleep(0.01)
    except BaseException as error:
        return error
    finally:
        signal.signal(signal.SIGINT, before)
    return None


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_becomes_an_exit_with_its_number(sign) -> None:
    ended = stopped_by(sign)
    assert isinstance(ended, SystemExit)
    assert ended.code == 128 + sign


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_comes_where_exceptions_are_ignored_stops_all_the_same(sign) -> None:
    went_on = []

    def in_a_finaliser(sign: signal.Signals) -> None:
        free(lambda: signal.raise_signal(sign))
        went_on.append(sign)

    ended = stopped_by(sign, in_a_finaliser)
    assert went_on == [sign]
    if sign is signal.SIGINT:
        assert isinstance(ended, KeyboardInterrupt)
    else:
        assert isinstance(ended, SystemExit)
        assert ended.code == 128 + sign


def test_other_ignored_exceptions_are_still_shown(monkeypatch) -> None:
    shown = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: shown.append(what.exc_type))
    with stopping_in_order():
        free(lambda: int("no number"))
    assert shown == [ValueError]


def test_afterwards_signals_mean_what_they_meant() -> None:
    def meaning() -> list[object]:
        signs = (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
        return [sys.unraisablehook, *(signal.getsignal(sign) for sign in signs)]

    before = meaning()
    assert stopped_by(signal.SIGTERM) is not None
    assert meaning() == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0

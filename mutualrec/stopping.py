"""Ending in order when told to, wherever in the program that arrives."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

AGAIN_S = 0.05
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class ToldToStop(SystemExit):
    """A signal told the process to stop; its exit code is 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


@contextmanager
def stopping_in_order() -> Iterator[None]:
    """Make SIGTERM and SIGHUP end what is done here as Ctrl-C does: by an exception.

    A handler runs wherever the program happens to be. In a finaliser or in a callback from C the
    exception has nobody to go to: Python prints "Exception ignored in" and goes on. Then the signal
    is given again, a little later and elsewhere; so is a Ctrl-C that got lost that way.

    Raises:
        ToldToStop: One of the signals came.
    """
    hook = sys.unraisablehook
    lost = signal.SIGTERM

    def ignored(what: "sys.UnraisableHookArgs") -> None:
        nonlocal lost
        if isinstance(what.exc_value, ToldToStop):
            lost = signal.Signals(what.exc_value.number)
        elif issubclass(what.exc_type, KeyboardInterrupt):
            lost = signal.SIGINT
        else:
            hook(what)
            return
        # By a timer, as the next line would still be where exceptions are ignored.
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)

    def again(_number: int, _frame: FrameType | None) -> None:
        signal.raise_signal(lost)

    before = {sign: signal.signal(sign, _stop) for sign in _SIGNALS}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, again)
    sys.unraisablehook = ignored
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.setitimer(signal.ITIMER_REAL, 0)
        for sign, handler in before.items():
            signal.signal(sign, handler)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    raise ToldToStop(number)

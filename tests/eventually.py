"""Waiting for what real processes do in their own time."""

import contextlib
import time
from collections.abc import Callable

import httpx
import pytest


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Asks again until it holds; a service that does not answer yet counts as no."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if condition():
                return
        time.sleep(0.05)
    pytest.fail(f"it did not happen within {seconds} s")

"""Training under the lease of a catalog, wherever it was started: by hand, cron, a cluster."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from service.scheduling.lease import Lease
    from service.scheduling.status import Judgement
    from service.settings import Settings
    from training.trainer import EpochReport

    Progress = Callable[[str, int, str], AbstractContextManager[Callable[[EpochReport], None]]]


class Judged(typer.Exit):
    """The end of a command that has judged a candidate, or found none to judge."""

    def __init__(self, code: int, judgement: "Judgement | None") -> None:
        """Ends with an exit code and what the gate said."""
        super().__init__(code)
        self.judgement = judgement


@contextmanager
def leased(settings: "Settings", catalog: str) -> Iterator["Lease"]:
    """Hold the lease of a catalog until the block ends, and record how the block ended.

    Args:
        settings: The service's settings, with a Redis URL.
        catalog: The catalog to train.

    Raises:
        ArtifactNameInvalid: The catalog's name is not allowed.
        LeaseHeld: Another trainer is at work on the catalog.
        RedisError: Redis does not answer.
    """
    from service.artifact import highest_fence
    from service.scheduling.lease import RENEWALS_PER_LEASE, holding
    from service.scheduling.recording import RunRecord
    from service.store.connection import connect_blocking

    ttl_s = settings.lease_ttl_s
    used_token = highest_fence(settings.artifacts, catalog)
    # A reply that is awaited for longer than this comes too late to save the lease.
    timeout_s = ttl_s / RENEWALS_PER_LEASE
    with (
        connect_blocking(str(settings.redis_url), timeout_s=timeout_s) as client,
        holding(client, catalog, ttl_s=ttl_s, used_token=used_token) as lease,
    ):
        record = RunRecord(client, lease, lambda: time.time_ns() // 1_000_000)
        record.begin()
        try:
            yield lease
        except BaseException as error:
            judgement = error.judgement if isinstance(error, Judged) else None
            record.end(*exit_of(error), _current(settings, catalog), judgement)
            raise
        record.end(*exit_of(None), _current(settings, catalog))


def exit_of(error: BaseException | None) -> tuple[int, str]:
    """Return the exit code that a command ends with, and why.

    Args:
        error: What ended it; None for nothing.
    """
    from service.scheduling.status import REFUSED, RESULTS
    from training.errors import QualityGateFailed

    if isinstance(error, QualityGateFailed):
        return REFUSED, str(error)
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted"
    if isinstance(error, typer.Exit | SystemExit) or error is None:
        code = 0 if error is None else _code(error)
        return code, RESULTS.get(code, f"ended with exit code {code}").replace("_", " ")
    return 1, f"{type(error).__name__}: {error}"


def _code(error: typer.Exit | SystemExit) -> int:
    if isinstance(error, typer.Exit):
        return error.exit_code
    return error.code if isinstance(error.code, int) else int(error.code is not None)


def _current(settings: "Settings", catalog: str) -> str | None:
    from service.artifact import current_version
    from service.errors import ArtifactError

    try:
        return current_version(settings.artifacts, catalog)
    except ArtifactError:
        return None


def while_held(lease: "Lease", progress: "Progress") -> "Progress":
    """Return a progress display under which training ends as soon as the lease is known lost."""

    @contextmanager
    def checked(name: str, epochs: int, metric: str) -> Iterator["Callable[[EpochReport], None]"]:
        lease.check()
        with progress(name, epochs, metric) as report:

            def checked_report(epoch: "EpochReport") -> None:
                lease.check()
                report(epoch)

            yield checked_report

    return checked

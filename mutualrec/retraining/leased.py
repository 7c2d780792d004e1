"""Training under the lease of a catalog, wherever it was started: by hand, cron, a cluster."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.scheduling.lease import Lease
    from service.settings import Settings
    from training.trainer import EpochReport

    Progress = Callable[[str, int, str], AbstractContextManager[Callable[[EpochReport], None]]]


@contextmanager
def leased(settings: "Settings", catalog: str) -> Iterator["Lease"]:
    """Hold the lease of a catalog until the block ends.

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
    from service.store.connection import connect_blocking

    ttl_s = settings.lease_ttl_s
    used_token = highest_fence(settings.artifacts, catalog)
    # A reply that is awaited for longer than this comes too late to save the lease.
    timeout_s = ttl_s / RENEWALS_PER_LEASE
    with (
        connect_blocking(str(settings.redis_url), timeout_s=timeout_s) as client,
        holding(client, catalog, ttl_s=ttl_s, used_token=used_token) as lease,
    ):
        yield lease


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

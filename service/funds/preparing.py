"""What answers about funds share is computed before the first one asks."""

import logging
import time

from service.funds.companies import companies_of
from service.funds.expected import expected_of
from service.funds.reasons import domains_of
from service.snapshot import Snapshot

logger = logging.getLogger(__name__)


def prepare(snapshot: Snapshot) -> None:
    """Computes what a version's answers about funds have in common; nothing for other catalogs.

    It is kept with the snapshot. A request that comes before it is done computes what it needs
    itself.
    """
    if snapshot.artifact.funds is None:
        return
    start = time.perf_counter()
    companies_of(snapshot)
    domains_of(snapshot)
    expected_of(snapshot)
    logger.info(
        "prepared funds version=%s num_funds=%d seconds=%.3f",
        snapshot.version,
        len(snapshot.artifact.user_ids),
        time.perf_counter() - start,
    )

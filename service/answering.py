"""What the endpoints that recommend have in common around an answer."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from service.metrics import timed
from service.snapshot import Snapshot
from service.state import ServiceState

INLINE_SEARCH_S = 0.001
INLINE_ITEMS = 20_000

_T = TypeVar("_T")


async def run_search(
    state: ServiceState, snapshot: Snapshot, work: Callable[[], _T], *, is_plain: bool
) -> _T:
    """Does the work at once where it is short, in a search thread where it is not.

    Args:
        state: the application.
        snapshot: the version that answers.
        work: what to do.
        is_plain: whether it is one search and nothing else.
    """
    is_short = is_plain or snapshot.index.num_items <= INLINE_ITEMS
    ranked = timed(state.metrics.ranking_seconds.observe, work)
    if snapshot.search_s < INLINE_SEARCH_S and is_short:
        return ranked()
    return await asyncio.get_running_loop().run_in_executor(state.searches, ranked)


# Any: JSON.
def count_answer(state: ServiceState, content: dict[str, Any]) -> None:
    """Counts an answer for its arm, and if it falls short of what the model gives."""
    state.experiments.count(content)
    fallbacks, catalog, items = state.metrics.fallbacks, content["catalog"], content["items"]
    if content["degraded"]:
        fallbacks.labels(catalog, "degraded").inc()
    if items and items[-1]["source"] == "popular":
        reason = "popular" if items[0]["source"] == "popular" else "padded"
        fallbacks.labels(catalog, reason).inc()

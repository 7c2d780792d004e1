"""What the endpoints that recommend have in common around an answer."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from service.answers import Demand, Json, Someone, answer, ask, content_of
from service.metrics import timed
from service.recommend import fetched, padded, recommend
from service.snapshot import Snapshot
from service.state import ServiceState
from service.user_vector import make_vectors

INLINE_ITEMS = 20_000

_T = TypeVar("_T")


async def answer_one(
    state: ServiceState, catalog: str, snapshot: Snapshot, someone: Someone, demand: Demand
) -> Json:
    """The content of one answer; plain ones of the same moment share a search.

    Raises:
        InvalidParameter: the rules do not fit the catalog, or the cursor is none of this request.
    """
    if not demand.is_plain:
        return await run_search(
            state, snapshot, partial(answer, catalog, snapshot, someone, demand)
        )
    start = time.perf_counter()
    asked = ask(catalog, snapshot, someone, demand)
    wanted = fetched(asked.view, asked.k)
    found = await state.queue.search(
        snapshot.index, asked.view.vector, wanted, quick=snapshot.is_quick
    )
    items = padded(snapshot, asked.view, asked.k, found)
    content = content_of(catalog, snapshot, someone, demand, asked, items)
    state.metrics.ranking_seconds.observe(time.perf_counter() - start)
    return content


def answer_many(catalog: str, wanted: Sequence[tuple[Someone, Snapshot, Demand]]) -> list[Json]:
    """The contents of many answers; all that need no rules share one search of their version.

    Raises:
        InvalidParameter: the rules do not fit the catalog, or the cursor is none of this request.
    """
    asked = [ask(catalog, snapshot, someone, demand) for someone, snapshot, demand in wanted]
    queries = make_vectors([one.view.vector for one in asked])
    together: dict[int, list[int]] = defaultdict(list)
    for number, (_, snapshot, demand) in enumerate(wanted):
        if demand.rules is None and queries[number] is not None:
            together[id(snapshot.index)].append(number)
    found: dict[int, tuple[list[float], list[int]]] = {}
    for numbers in together.values():
        most = max(fetched(asked[number].view, asked[number].k) for number in numbers)
        some = np.array([queries[number] for number in numbers])
        scores, rows = wanted[numbers[0]][1].index.search(some, most)
        found |= zip(numbers, zip(scores.tolist(), rows.tolist(), strict=True), strict=True)
    contents = []
    for number, (one, (someone, snapshot, demand)) in enumerate(zip(asked, wanted, strict=True)):
        if demand.rules is None:
            items = padded(snapshot, one.view, one.k, found.get(number))
        else:
            items = recommend(snapshot, one.view, one.k, demand.rules) if one.k > 0 else []
        contents.append(content_of(catalog, snapshot, someone, demand, one, items))
    return contents


async def run_search(state: ServiceState, snapshot: Snapshot, work: Callable[[], _T]) -> _T:
    """Does the work at once where the catalog is small, in a search thread where it is not.

    Args:
        state: the application.
        snapshot: the version that answers.
        work: what to do.
    """
    ranked = timed(state.metrics.ranking_seconds.observe, work)
    if snapshot.is_quick and snapshot.index.num_items <= INLINE_ITEMS:
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

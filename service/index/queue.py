"""Searches that are asked for at the same time are one search."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.index.interface import ItemIndex

MAX_BATCH = 64

Found = tuple[list[float], list[int]]
"""Falling scores and rows."""


@dataclass
class _Search:
    """What one request waits for."""

    index: ItemIndex
    query: NDArray[np.float32]
    k: int
    found: asyncio.Future[Found] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class SearchQueue:
    """Joins searches into batches, which cost less per query; for one event loop.

    Quick searches are done in the event loop, in the round after the one that asked. Others go to
    threads, and while all of these are busy, what is asked meanwhile gathers for the next search.
    Nothing waits for company longer than for its turn, or than `wait_s` where that is set.
    """

    def __init__(
        self,
        threads: Executor,
        num_threads: int,
        *,
        max_batch: int = MAX_BATCH,
        wait_s: float = 0.0,
    ) -> None:
        """Searches nothing yet.

        Args:
            threads: where searches are done that would hold the event loop up.
            num_threads: how many there are.
            max_batch: more queries are not searched at once.
            wait_s: how long the first query of a batch for the threads waits for others.
        """
        self._threads = threads
        self._num_threads = num_threads
        self._max_batch = max_batch
        self._wait_s = wait_s
        self._quick: list[_Search] = []
        self._long: list[_Search] = []
        self._busy = 0
        self._gathering = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def search(
        self, index: ItemIndex, query: NDArray[np.float32], k: int, *, quick: bool
    ) -> Found:
        """What `index` finds for a query, as if it searched for nobody else.

        Args:
            index: where to search.
            query: [D] float32.
            k: how many, at least 1; a few more may come.
            quick: whether one search is too short to be worth a thread.
        """
        search = _Search(index, query, k)
        if quick:
            if not self._quick:
                asyncio.get_running_loop().call_soon(self._do_quick)
            self._quick.append(search)
        else:
            self._long.append(search)
            self._start()
        return await search.found

    def _do_quick(self) -> None:
        waiting, self._quick = self._quick, []
        for batch in _batches(waiting, self._max_batch):
            _do(batch)

    def _start(self) -> None:
        if self._busy < self._num_threads and not self._gathering:
            task = asyncio.get_running_loop().create_task(self._do_long())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._gathering = True

    async def _do_long(self) -> None:
        # What else is asked in this round of the event loop comes along, whatever `wait_s` is.
        await asyncio.sleep(self._wait_s)
        self._gathering = False
        batches = _batches(self._long, self._max_batch)
        if not batches:
            return
        batch, self._long = batches[0], [s for others in batches[1:] for s in others]
        self._busy += 1
        if self._long:
            self._start()
        try:
            loop = asyncio.get_running_loop()
            outcome = await loop.run_in_executor(self._threads, _searched, batch)
            _tell(batch, outcome)
        finally:
            self._busy -= 1
            if self._long:
                self._start()


def _batches(waiting: Sequence[_Search], max_batch: int) -> list[list[_Search]]:
    """By index, and by how much is wanted: who wants little need not wait for who wants much."""
    alike: dict[tuple[int, int], list[_Search]] = defaultdict(list)
    for search in waiting:
        if not search.found.done():  # whoever asked may have gone
            alike[id(search.index), max(7, search.k.bit_length())].append(search)
    return [
        group[start : start + max_batch]
        for group in alike.values()
        for start in range(0, len(group), max_batch)
    ]


def _searched(batch: Sequence[_Search]) -> list[Found] | Exception:
    """What was found for each, or why nothing was."""
    try:
        queries = np.stack([search.query for search in batch])
        scores, rows = batch[0].index.search(queries, max(search.k for search in batch))
    except Exception as error:  # every request hears it; none must wait for ever
        return error
    return list(zip(scores.tolist(), rows.tolist(), strict=True))


def _do(batch: Sequence[_Search]) -> None:
    _tell(batch, _searched(batch))


def _tell(batch: Sequence[_Search], outcome: list[Found] | Exception) -> None:
    for number, search in enumerate(batch):
        if search.found.done():
            continue
        if isinstance(outcome, Exception):
            search.found.set_exception(outcome)
        else:
            search.found.set_result(outcome[number])

"""Searches that are asked for at the same time are one search."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.index.interface import ItemIndex

MAX_BATCH = 64

BUSY_ROUNDS = 6
"""For so many rounds of the event loop whoever has company waits for more of it.

A request that has come in needs one to be read, one to ask Redis and two to get the reply.
"""

COMING_S = 0.002
"""So many seconds a search in the event loop waits for those who are said to be coming.

Of 32 clients the first to ask again is read alone, and the others while it asks Redis; searched
alone it would cost a fifth of what all of them do.
"""

Found: TypeAlias = tuple[list[float], list[int]]
"""Falling scores and rows."""

Vector: TypeAlias = NDArray[np.float32] | None
"""[D], None for nothing to search by."""

_Query = TypeVar("_Query")


class _Search(Generic[_Query]):
    """What one request waits for."""

    __slots__ = ("found", "index", "k", "query")

    def __init__(
        self, index: ItemIndex, query: _Query, k: int, found: asyncio.Future[Found | None]
    ) -> None:
        self.index = index
        self.query = query
        self.k = k
        self.found = found


class _Coming:
    """Those who are getting ready to search."""

    def __init__(self, when_none: Callable[[], None]) -> None:
        self.count = 0
        self._when_none = when_none

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1
        if not self.count:
            self._when_none()


class SearchQueue(Generic[_Query]):
    """Joins searches into batches, which cost less per query; for one event loop.

    Quick searches are done in the event loop: when nobody is `coming` any more, or after
    `COMING_S`; in the round after that or, where several were asked for, a few rounds later. Such a
    round takes microseconds where nothing else is to be done, and else brings further searches.
    Others go to threads, and while all of these are busy, what is asked meanwhile gathers for the
    next search.

    Nothing waits for company longer than for that, for its turn, or for `wait_s` where that is set.

    Attributes:
        coming: a context for whoever is about to ask for a quick search, as while reading what the
            query is made of. It ends before they ask, in the same round of the event loop.
    """

    def __init__(
        self,
        threads: Executor,
        num_threads: int,
        vectors_of: Callable[[Sequence[_Query]], Sequence[Vector]],
        *,
        max_batch: int = MAX_BATCH,
        wait_s: float = 0.0,
    ) -> None:
        """Searches nothing yet.

        Args:
            threads: where searches are done that would hold the event loop up.
            num_threads: how many there are.
            vectors_of: makes the queries of a batch vectors, wherever the batch is searched.
            max_batch: more queries are not searched at once.
            wait_s: how long the first query of a batch for the threads waits for others.
        """
        self._threads = threads
        self._num_threads = num_threads
        self._vectors_of = vectors_of
        self._max_batch = max_batch
        self._wait_s = wait_s
        self.coming = _Coming(self._stop_waiting)
        self._at_latest: asyncio.TimerHandle | None = None
        self._quick: list[_Search[_Query]] = []
        self._long: list[_Search[_Query]] = []
        self._busy = 0
        self._gathering = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def search(self, index: ItemIndex, query: _Query, k: int, *, quick: bool) -> Found | None:
        """What `index` finds for a query, as if it searched for nobody else; None for no vector.

        Args:
            index: where to search.
            query: what becomes a vector.
            k: how many, at least 1; a few more may come.
            quick: whether one search is too short to be worth a thread.
        """
        loop = asyncio.get_running_loop()
        search = _Search(index, query, k, loop.create_future())
        if quick:
            if not self._quick and self.coming.count:
                self._at_latest = loop.call_later(COMING_S, self._stop_waiting)
            elif not self._quick:
                loop.call_soon(self._look_round, 1)
            self._quick.append(search)
        else:
            self._long.append(search)
            self._start()
        return await search.found

    def _stop_waiting(self) -> None:
        if self._at_latest is not None:
            self._at_latest.cancel()
            self._at_latest = None
            asyncio.get_running_loop().call_soon(self._look_round, 1)

    def _look_round(self, rounds: int) -> None:
        """Searches, or lets the event loop read what came in the meantime first."""
        if rounds < BUSY_ROUNDS and 1 < len(self._quick) < self._max_batch:
            asyncio.get_running_loop().call_soon(self._look_round, rounds + 1)
        else:
            self._do_quick()

    def _do_quick(self) -> None:
        waiting, self._quick = self._quick, []
        for batch in _batches(waiting, self._max_batch):
            _tell(batch, self._searched(batch))

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
            outcome = await loop.run_in_executor(self._threads, self._searched, batch)
            _tell(batch, outcome)
        finally:
            self._busy -= 1
            if self._long:
                self._start()

    def _searched(self, batch: Sequence[_Search[_Query]]) -> list[Found | None] | Exception:
        """What was found for each, or why nothing was."""
        outcome: list[Found | None] = [None] * len(batch)
        try:
            vectors = self._vectors_of([search.query for search in batch])
            places = [place for place, vector in enumerate(vectors) if vector is not None]
            if places:
                queries = np.array([vectors[place] for place in places])
                most = max(batch[place].k for place in places)
                scores, rows = batch[0].index.search(queries, most)
                for place, *found in zip(places, scores.tolist(), rows.tolist(), strict=True):
                    outcome[place] = found[0], found[1]
        except Exception as error:  # every request hears it; none must wait for ever
            return error
        return outcome


def _batches(waiting: Sequence[_Search[_Query]], max_batch: int) -> list[list[_Search[_Query]]]:
    """By index, and by how much is wanted: who wants little need not wait for who wants much."""
    alike: dict[tuple[int, int], list[_Search[_Query]]] = defaultdict(list)
    for search in waiting:
        if not search.found.done():  # whoever asked may have gone
            alike[id(search.index), max(7, search.k.bit_length())].append(search)
    return [
        group[start : start + max_batch]
        for group in alike.values()
        for start in range(0, len(group), max_batch)
    ]


def _tell(batch: Sequence[_Search[_Query]], outcome: list[Found | None] | Exception) -> None:
    for number, search in enumerate(batch):
        if search.found.done():
            continue
        if isinstance(outcome, Exception):
            search.found.set_exception(outcome)
        else:
            search.found.set_result(outcome[number])

"""Searches that are asked for at the same time are one search, and nobody notices but by speed."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.index import FlatCpuIndex
from service.index.queue import BUSY_ROUNDS, COMING_S, SearchQueue

RNG = np.random.default_rng(0)
ITEMS = RNG.normal(size=(50, 8)).astype(np.float32)
QUERIES = RNG.normal(size=(40, 8)).astype(np.float32)


class Counted:
    """An index that notes how many queries each search had."""

    def __init__(self, items=ITEMS) -> None:
        self.sizes: list[int] = []
        self.fault: Exception | None = None
        self._index = FlatCpuIndex(items)

    @property
    def num_items(self) -> int:
        return self._index.num_items

    def search(self, queries, k):
        self.sizes.append(len(queries))
        if self.fault is not None:
            raise self.fault
        return self._index.search(queries, k)


def ask(work, num_threads: int = 1, **options):
    with ThreadPoolExecutor(num_threads) as threads:

        async def run():
            return await work(SearchQueue(threads, num_threads, list, **options))

        return asyncio.run(run())


@pytest.mark.parametrize("quick", [True, False], ids=["in the event loop", "in a thread"])
def test_everybody_gets_what_they_would_get_alone_from_one_search(quick) -> None:
    index = Counted()
    wanted = [1 + number % 7 for number in range(len(QUERIES))]

    async def work(queue):
        return await asyncio.gather(
            *(queue.search(index, q, k, quick=quick) for q, k in zip(QUERIES, wanted, strict=True))
        )

    found = ask(work)
    assert index.sizes == [len(QUERIES)]
    expected = [np.argsort(-(ITEMS @ q))[:k].tolist() for q, k in zip(QUERIES, wanted, strict=True)]
    assert [rows[:k] for (_, rows), k in zip(found, wanted, strict=True)] == expected


@pytest.mark.parametrize("quick", [True, False], ids=["in the event loop", "in a thread"])
def test_a_batch_has_a_largest_size(quick) -> None:
    index = Counted()

    async def work(queue):
        await asyncio.gather(*(queue.search(index, q, 3, quick=quick) for q in QUERIES))

    ask(work, max_batch=16)
    assert index.sizes == [16, 16, 8]


@pytest.mark.parametrize("quick", [True, False], ids=["in the event loop", "in a thread"])
def test_two_versions_are_never_searched_together(quick) -> None:
    old, new = Counted(), Counted(-ITEMS)

    async def work(queue):
        return await asyncio.gather(
            *(queue.search(index, QUERIES[0], 1, quick=quick) for index in (old, new) * 3)
        )

    found = ask(work)
    assert (old.sizes, new.sizes) == ([3], [3])
    best = [np.argmax(ITEMS @ QUERIES[0]), np.argmin(ITEMS @ QUERIES[0])]
    assert [rows[0] for _, rows in found] == best * 3


def test_a_few_items_do_not_wait_for_whoever_wants_thousands() -> None:
    index = Counted()

    async def work(queue):
        await asyncio.gather(
            *(queue.search(index, q, 10, quick=True) for q in QUERIES[:3]),
            queue.search(index, QUERIES[3], 5000, quick=True),
        )

    ask(work)
    assert index.sizes == [3, 1]


@pytest.mark.parametrize("quick", [True, False], ids=["in the event loop", "in a thread"])
def test_a_failed_search_fails_those_who_asked_for_it_and_none_after_them(quick) -> None:
    index = Counted()
    index.fault = RuntimeError("no memory")

    async def work(queue):
        failed = await asyncio.gather(
            *(queue.search(index, q, 3, quick=quick) for q in QUERIES[:2]), return_exceptions=True
        )
        index.fault = None
        return failed, await queue.search(index, QUERIES[0], 3, quick=quick)

    failed, (_, rows) = ask(work)
    assert [str(error) for error in failed] == ["no memory"] * 2
    assert rows == np.argsort(-(ITEMS @ QUERIES[0]))[:3].tolist()


def test_what_is_asked_while_all_threads_are_busy_gathers_for_the_next_search() -> None:
    async def work(queue):
        loop = asyncio.get_running_loop()
        searching, may_end = asyncio.Event(), asyncio.Event()

        class Slow(Counted):
            def search(self, queries, k):
                loop.call_soon_threadsafe(searching.set)
                asyncio.run_coroutine_threadsafe(may_end.wait(), loop).result()
                return super().search(queries, k)

        index = Slow()
        first = asyncio.ensure_future(queue.search(index, QUERIES[0], 3, quick=False))
        await searching.wait()
        others = [
            asyncio.ensure_future(queue.search(index, q, 3, quick=False)) for q in QUERIES[1:9]
        ]
        await asyncio.sleep(0)
        may_end.set()
        await asyncio.gather(first, *others)
        return index.sizes

    assert ask(work) == [1, 8]


def test_whoever_went_away_does_not_disturb_the_others() -> None:
    async def work(queue):
        gone, stays = (
            asyncio.ensure_future(queue.search(Counted(), q, 3, quick=True)) for q in QUERIES[:2]
        )
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert len(ask(work)[1]) == 3


async def rounds(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_where_several_ask_those_who_are_a_few_rounds_late_come_along() -> None:
    index = Counted()

    async def late(queue, query):
        await rounds(BUSY_ROUNDS - 2)
        return await queue.search(index, query, 3, quick=True)

    async def work(queue):
        at_once = [queue.search(index, q, 3, quick=True) for q in QUERIES[:2]]
        return await asyncio.gather(*at_once, late(queue, QUERIES[2]))

    found = ask(work)
    assert index.sizes == [3]
    expected = [np.argsort(-(ITEMS @ q))[:3].tolist() for q in QUERIES[:3]]
    assert [rows for _, rows in found] == expected


def test_who_asks_alone_waits_for_nobody() -> None:
    index = Counted()

    async def work(queue):
        asked = asyncio.ensure_future(queue.search(index, QUERIES[0], 3, quick=True))
        await rounds(2)
        sizes = list(index.sizes)
        await asked
        return sizes

    assert ask(work) == [1]


def test_several_wait_for_a_few_rounds_and_no_longer() -> None:
    index = Counted()

    async def work(queue):
        asked = [asyncio.ensure_future(queue.search(index, q, 3, quick=True)) for q in QUERIES[:2]]
        await rounds(BUSY_ROUNDS + 1)
        sizes = list(index.sizes)
        await asyncio.gather(*asked)
        return sizes

    assert ask(work) == [2]


async def come_late(queue, index, query, may_ask: asyncio.Event):
    with queue.coming:
        await may_ask.wait()
    return await queue.search(index, query, 3, quick=True)


def test_who_asks_alone_waits_for_those_who_are_coming() -> None:
    index = Counted()

    async def work(queue):
        may_ask = asyncio.Event()
        others = [asyncio.ensure_future(come_late(queue, index, q, may_ask)) for q in QUERIES[1:9]]
        await asyncio.sleep(0)
        first = asyncio.ensure_future(queue.search(index, QUERIES[0], 3, quick=True))
        await rounds(2 * BUSY_ROUNDS)
        sizes = list(index.sizes)
        may_ask.set()
        await asyncio.gather(first, *others)
        return sizes

    assert ask(work) == []
    assert index.sizes == [9]


def test_nobody_waits_long_for_those_who_are_coming() -> None:
    index = Counted()

    async def work(queue):
        loop, may_ask = asyncio.get_running_loop(), asyncio.Event()
        other = asyncio.ensure_future(come_late(queue, index, QUERIES[1], may_ask))
        await asyncio.sleep(0)
        start = loop.time()
        await queue.search(index, QUERIES[0], 3, quick=True)
        waited = loop.time() - start
        may_ask.set()
        await other
        return waited

    assert COMING_S - 1e-4 <= ask(work) < 500 * COMING_S
    assert index.sizes == [1, 1]


def test_who_was_coming_and_never_asks_holds_nobody_up() -> None:
    index = Counted()

    async def refused(queue):
        with queue.coming:
            await rounds(3)
            raise TimeoutError

    async def work(queue):
        coming = asyncio.ensure_future(refused(queue))
        await asyncio.sleep(0)
        asked = asyncio.ensure_future(queue.search(index, QUERIES[0], 3, quick=True))
        await rounds(5 + BUSY_ROUNDS)
        sizes = list(index.sizes)
        await asyncio.gather(coming, asked, return_exceptions=True)
        return sizes

    assert ask(work) == [1]


def test_a_request_is_coming_while_its_history_is_read(start, deploy, redis_url, monkeypatch):
    deploy()
    client = start(redis_url=redis_url)
    monkeypatch.setattr("service.index.queue.COMING_S", 60.0)
    read = asyncio.Event()

    async def history(_, user):
        if user == "u1":
            read.set()
        else:
            await read.wait()
            await rounds(20)
        return []

    async def both():
        return await asyncio.gather(*(client.http.get(f"/recommend/{u}") for u in ("u2", "u1")))

    def searches() -> float:
        return client.state.metrics._registry.get_sample_value(
            "mutualrec_stage_seconds_count", {"stage": "search"}
        )

    before = searches()
    monkeypatch.setattr(client.state.store, "history", history)
    assert [answer.json()["user_id"] for answer in client.run(both())] == ["u2", "u1"]
    assert searches() == before + 1

"""No event is lost and none counts twice, whatever breaks.

Small by default; FAULT_EVENTS and FAULT_KILLS make it larger, such as 100000 and 20.
"""

import asyncio
import math
import os
import random

import pytest

from benchmarks.ingestion.proxies import Faults, redis_proxy
from benchmarks.ingestion.scenarios import (
    Counts,
    Kill,
    age_when_lost,
    kill_drainer,
    kill_redis,
    kill_service,
    lossy_proxies,
)
from benchmarks.servers import redis_program, valkey_program

EVENTS = int(os.environ.get("FAULT_EVENTS", "1500"))
KILLS = int(os.environ.get("FAULT_KILLS", "2"))
KILLED_EVENTS = EVENTS // 5

pytestmark = pytest.mark.slow


@pytest.fixture(params=["valkey", "redis"])
def program(request) -> str:
    """Each of the servers that are here."""
    if request.param == "valkey":
        return valkey_program()
    found = redis_program()
    if found is None:
        pytest.skip("this machine has no redis-server program")
    return found


def assert_reconciled(counts: Counts) -> None:
    assert (counts.found, counts.lost, counts.repeated) == (counts.sent, 0, 0)
    assert (counts.unasked, counts.defects) == (0, 0)


def test_events_through_proxies_that_drop_delay_and_repeat_are_in_the_log_once(program, tmp_path):
    counts = lossy_proxies(program, tmp_path, EVENTS)
    assert counts.sent == EVENTS
    assert_reconciled(counts)
    # Not even a file tells of an event twice: the drain was not disturbed.
    assert counts.repeated_rows == 0
    assert min(counts.faults[name] for name in ("drop", "delay", "repeat")) > 0


def test_a_killed_service_loses_and_repeats_nothing(tmp_path):
    counts = kill_service(valkey_program(), tmp_path, KILLED_EVENTS, KILLS)
    assert counts.kills == KILLS
    assert_reconciled(counts)


def test_a_killed_redis_that_syncs_always_loses_nothing_acknowledged(program, tmp_path):
    counts = kill_redis(program, tmp_path, KILLED_EVENTS, KILLS, "always")
    assert counts.kills == KILLS
    assert_reconciled(counts)


def test_a_killed_redis_that_syncs_every_second_loses_at_most_that(tmp_path):
    counts = kill_redis(valkey_program(), tmp_path, KILLED_EVENTS, KILLS, "everysec")
    assert (counts.found + counts.lost, counts.repeated) == (counts.sent, 0)
    assert counts.lost_within_s <= 1.0


def test_what_is_lost_belongs_to_the_process_that_acknowledged_it():
    kills = [Kill(dead=10.0, restarting=10.2), Kill(dead=14.0, restarting=14.2)]
    assert age_when_lost(9.5, kills) == 0.5
    assert age_when_lost(10.1, kills) == 0.0  # its acknowledgement was on the way
    assert age_when_lost(10.3, kills) == pytest.approx(3.7)
    assert age_when_lost(15.0, kills) == math.inf


def test_a_killed_drainer_loses_and_repeats_nothing(tmp_path):
    counts = kill_drainer(valkey_program(), tmp_path, KILLED_EVENTS, KILLS)
    assert counts.kills == KILLS
    assert_reconciled(counts)


def test_the_proxy_does_to_replies_what_it_is_told():
    async def ask(**shares: float) -> tuple[bytes, dict[str, int]]:
        async def echo(reader, writer):
            writer.write(await reader.read(100))
            await reader.read()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        faults = Faults(random.Random(0), **{"drop": 0, "delay": 0, "repeat": 0} | shares)
        async with server, redis_proxy(server.sockets[0].getsockname()[1], faults) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello")
            reply = await reader.read(100) if not shares.get("drop") else b""
            writer.close()
            await writer.wait_closed()
        return reply, dict(faults.done)

    assert asyncio.run(ask()) == (b"hello", {})
    assert asyncio.run(ask(repeat=1.0)) == (b"hellohello", {"repeat": 1})
    assert asyncio.run(ask(delay=1.0, longest_delay_s=0.0)) == (b"hello", {"delay": 1})

"""Rows of the service under load."""

from benchmarks import service_load
from benchmarks.load.measuring import Size


def test_what_a_worker_adds_is_told_in_percent_of_one_with_its_spread(monkeypatch):
    found = {1: [200.0, 100.0, 100.0], 2: [220.0, 112.0, 108.0], 3: [230.0, 118.0, 112.0]}
    monkeypatch.setattr(service_load, "memory", lambda _: found)

    size = Size(10_000, 10_000, 1.0, 3, variables={"MUTUALREC_INDEX": "auto"})
    rows = service_load.memory_rows(size)

    told = {row.metric: (row.value, row.low, row.high) for row in rows}
    assert told["second_worker_extra_memory_percent"] == (10.0, 8.0, 12.0)
    assert told["next_worker_extra_memory_percent"] == (5.0, 4.0, 6.0)
    of_one = next(row for row in rows if row.setting.startswith("one worker"))
    assert (of_one.value, of_one.low, of_one.high) == (100.0, 100.0, 200.0)

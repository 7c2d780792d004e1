import pytest

from benchmarks.ingest import _memory_rows, _throughput_rows
from benchmarks.ingestion.memory import memory
from benchmarks.ingestion.throughput import Round, events_of, rounds
from benchmarks.servers import running, valkey_program


def test_ratios_are_those_of_a_round_and_rows_tell_their_spread():
    cpu = (1.0, 2.0, 3.0, 4.0)
    measured = [
        Round(1000, 400, 500, 300, *cpu),
        Round(1000, 500, 500, 350, *cpu),
        Round(100, 90, 10, 9, *cpu),
    ]
    rows = {(row.model, row.metric): row for row in _throughput_rows(measured, "here")}
    batch = rows["interactions-batch", "throughput_ratio"]
    single = rows["interactions-single", "throughput_ratio"]
    assert (batch.value, batch.low, batch.high) == (0.5, 0.4, 0.9)
    assert (single.value, single.low, single.high) == (0.7, 0.6, 0.9)
    assert rows["interactions-batch", "processor_time_ratio"].value == 0.5
    assert rows["interactions-single", "processor_time_ratio"].value == 0.75


def test_events_of_different_rounds_are_different():
    first, second = ({one["event_id"] for one in events_of(n, 100)} for n in range(2))
    assert len(first | second) == 200


@pytest.mark.slow
def test_every_rate_is_measured(tmp_path):
    with running(valkey_program(), tmp_path / "redis") as server:
        [measured] = rounds(tmp_path / "home", server, 200, 20, 1)
    assert min(measured.raw, measured.batches, measured.empty, measured.singles) > 0


@pytest.mark.slow
def test_memory_is_measured_and_does_not_grow(tmp_path):
    with running(valkey_program(), tmp_path / "redis") as server:
        found = memory(server, tmp_path, 100)
    assert 50 < found.event < 200
    assert 50 < found.event_id < 300
    assert 20 * found.items_per_user < found.user < 200 * found.items_per_user
    assert [row.metric for row in _memory_rows(found, "here")][2] == "bytes_per_user_with_50_items"

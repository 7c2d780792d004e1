"""What taking events costs: throughput as ratios within one run, and bytes of Redis.

    python -m benchmarks.ingest

Batches of 100 through `POST /interactions` are compared with XADD + ZADD of the same events in
pipelines of 100 from Python; single events with an empty POST endpoint of FastAPI. One worker, one
server, in turns; also by the processor time of client, service and endpoint. Then bytes per waiting
event, per event id and per user, and what is left after draining again and again.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.ingestion.memory import Memory, memory
from benchmarks.ingestion.throughput import Round, rounds
from benchmarks.rows import Row, command_line, commit, machine, write_rows
from benchmarks.servers import program_of, running


def main() -> None:
    """Measure and write `results/ingest.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000, help="per round")
    parser.add_argument("--singles", type=int, default=10_000, help="requests per round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--users", type=int, default=10_000, help="with a history, for memory")
    parser.add_argument("--server", choices=["valkey", "redis"], default="valkey")
    arguments = parser.parse_args()
    commit()
    program = program_of(arguments.server, parser)
    setting = f"{arguments.server}, {machine()}"
    with tempfile.TemporaryDirectory(prefix="ingest-") as folder:
        home = Path(folder)
        with running(program, home / "redis") as server:
            measured = rounds(
                home / "service", server, arguments.events, arguments.singles, arguments.rounds
            )
            write_rows("ingest", _throughput_rows(measured, setting))
    with tempfile.TemporaryDirectory(prefix="ingest-") as folder:
        home = Path(folder)
        with running(program, home / "redis", zset_max_listpack_entries="512") as server:
            found = memory(server, home, arguments.users)
            write_rows("ingest", _memory_rows(found, arguments.server))


def _throughput_rows(measured: Sequence[Round], setting: str) -> list[Row]:
    batch, single = "interactions-batch", "interactions-single"
    return [
        _row(batch, setting, "throughput_ratio", [one.batch_ratio for one in measured]),
        _row(batch, setting, "processor_time_ratio", [one.batch_cpu_ratio for one in measured]),
        _row(batch, setting, "events_per_second", [one.batches for one in measured]),
        _row(batch, setting, "raw_events_per_second", [one.raw for one in measured]),
        _row(single, setting, "throughput_ratio", [one.single_ratio for one in measured]),
        _row(single, setting, "processor_time_ratio", [one.single_cpu_ratio for one in measured]),
        _row(single, setting, "events_per_second", [one.singles for one in measured]),
        _row(single, setting, "empty_requests_per_second", [one.empty for one in measured]),
    ]


def _memory_rows(found: Memory, setting: str) -> list[Row]:
    per_user = f"bytes_per_user_with_{found.items_per_user}_items"
    return [
        _row("redis-memory", setting, "bytes_per_waiting_event", [found.event]),
        _row("redis-memory", setting, "bytes_per_event_id", [found.event_id]),
        _row("redis-memory", setting, per_user, [found.user]),
        _row("redis-memory", setting, "percent_growth_after_draining", [found.growth_percent]),
    ]


def _row(model: str, setting: str, metric: str, values: Sequence[float]) -> Row:
    several = len(values) > 1
    digits = 3 if metric.endswith("ratio") else 1
    return Row(
        benchmark="ingest",
        dataset="synthetic-1000-1000",
        model=model,
        setting=setting,
        metric=metric,
        value=round(statistics.median(values), digits),
        low=round(min(values), digits) if several else None,
        high=round(max(values), digits) if several else None,
        seeds=[0],
        command=command_line(),
        commit=commit(),
    )


if __name__ == "__main__":
    main()

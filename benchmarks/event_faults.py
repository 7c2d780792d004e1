"""Faults while events are taken and drained: what was sent, and what the log holds in the end.

    python -m benchmarks.event_faults --events 100000 --kills 20

Events go in batches through `mutualrec serve` and are sent again until they are acknowledged. One
scenario has proxies before the service and before Redis that drop, delay and repeat; the others
kill -9 the service, Redis, or a process that drains and compacts, at random moments.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.ingestion.scenarios import (
    Counts,
    kill_drainer,
    kill_redis,
    kill_service,
    lossy_proxies,
)
from benchmarks.ingestion.sender import ITEMS, USERS
from benchmarks.rows import Row, command_line, commit, write_rows
from benchmarks.servers import program_of

_Run = Callable[[str, Path], Counts]


def main() -> None:
    """Run the scenarios and write `results/event_faults.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="through the proxies")
    parser.add_argument("--kills", type=int, default=20, help="per scenario")
    parser.add_argument("--only", nargs="+", help="scenarios; all if none", default=None)
    parser.add_argument("--server", choices=["valkey", "redis"], default="valkey")
    arguments = parser.parse_args()
    commit()
    program = program_of(arguments.server, parser)
    runs = scenarios(arguments.events, arguments.kills)
    unknown = set(arguments.only or ()) - set(runs)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(runs)}")
    for name in arguments.only or runs:
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            counts = runs[name](program, Path(folder))
        write_rows("event_faults", _rows(f"{name}, {arguments.server}", counts))


def scenarios(num_events: int, num_kills: int) -> Mapping[str, _Run]:
    """Every scenario by name: program of the server and folder to counts."""
    during = max(100, num_events // 10)  # while killing goes on, more are sent

    def killing_redis(program: str, folder: Path, fsync: str) -> Counts:
        return kill_redis(program, folder, during, num_kills, fsync)

    return {
        "lossy proxies": lambda program, folder: lossy_proxies(program, folder, num_events),
        "service killed": lambda program, folder: kill_service(program, folder, during, num_kills),
        "Redis killed, appendfsync always": partial(killing_redis, fsync="always"),
        "Redis killed, appendfsync everysec": partial(killing_redis, fsync="everysec"),
        "drainer killed": lambda program, folder: kill_drainer(program, folder, during, num_kills),
    }


def _rows(setting: str, counts: Counts) -> list[Row]:
    measured: dict[str, float] = {
        "events_sent": counts.sent,
        "events_found": counts.found,
        "events_lost": counts.lost,
        "events_duplicated": counts.repeated,
        "requests": counts.requests,
        "kills": counts.kills,
        "lost_within_s": round(counts.lost_within_s, 3),
        "http_500": counts.defects,
        **{f"replies_{name}": count for name, count in counts.faults.items()},
    }
    return [
        Row(
            benchmark="event-faults",
            dataset=f"synthetic-{USERS}-{ITEMS}",
            model="faults",
            setting=setting,
            metric=metric,
            value=value,
            low=None,
            high=None,
            seeds=[0],
            command=command_line(),
            commit=commit(),
        )
        for metric, value in measured.items()
    ]


if __name__ == "__main__":
    main()

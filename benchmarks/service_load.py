"""How the service bears load, in ratios to an empty FastAPI endpoint of the same run.

python -m benchmarks.service_load throughput --connections 16 32 64
python -m benchmarks.service_load throughput --items 1000000
python -m benchmarks.service_load memory memory_after_swap swap outage
python -m benchmarks.service_load soak --seconds 3600
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.load.faults import growth_percent, outage, soak, swap
from benchmarks.load.measuring import MIN_USERS, FullLoad, Size, throughput
from benchmarks.load.memory import memory, memory_after_swap
from benchmarks.rows import Row, machine, spread_row, write_rows

SOAK_PER_SECOND = 100.0


def main() -> None:
    """Measure what was asked for and write `results/service_load.json`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="+", choices=list(MEASURED))
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[32], help="of full load, for throughput"
    )
    parser.add_argument("--index", default="auto", help="the service's MUTUALREC_INDEX")
    arguments = parser.parse_args()
    if arguments.users < MIN_USERS:
        parser.error(f"--users must be at least {MIN_USERS}")
    size = Size(
        arguments.items,
        arguments.users,
        arguments.seconds,
        arguments.rounds,
        arguments.connections,
        {"MUTUALREC_INDEX": arguments.index},
    )
    for what in arguments.what:
        write_rows("service_load", MEASURED[what](size))


def throughput_rows(size: Size) -> list[Row]:
    """Rows of full and of half load."""
    measured = throughput(size)
    half = f"half of full load, {_where(size)}"
    return [
        *(row for number, load in measured.full.items() for row in _full_rows(size, number, load)),
        _row(size, half, "p99_ms", [outcome.p99_ms() for outcome in measured.half]),
        _row(size, half, "errors", [sum(outcome.errors for outcome in measured.half)]),
        _row(size, f"20 items without events, {_where(size)}", "recall@20", [measured.recall]),
    ]


def memory_rows(size: Size) -> list[Row]:
    """Rows of what every further worker adds to the memory of one."""
    found = memory(size)
    one, two, three = (np.array(found[workers]) for workers in (1, 2, 3))
    where = _where(size)
    # The first of several workers comes with a process that keeps what each of them changed.
    return [
        _row(size, f"one worker, {where}", "memory_mib", one),
        _row(size, f"two workers, {where}", "memory_mib", two),
        _row(size, f"three workers, {where}", "memory_mib", three),
        _row(size, where, "next_worker_extra_memory_percent", 100 * (three - two) / one),
        _row(size, where, "second_worker_extra_memory_percent", 100 * (two - one) / one),
    ]


def memory_after_swap_rows(size: Size) -> list[Row]:
    """Rows of two workers that each loaded a version for itself, and that share it again."""
    found = memory_after_swap(size)
    return [
        _row(size, f"two workers {when}, {_where(size)}", "memory_mib", [mib])
        for when, mib in (
            ("before a swap", found.before),
            ("after a swap", found.swapped),
            ("after a swap and SIGHUP", found.replaced),
        )
    ]


def swap_rows(size: Size) -> list[Row]:
    """Rows of a version that replaces another."""
    found = swap(size)
    if not found.of_new:
        raise RuntimeError("the new version never answered; measure for longer")
    setting = f"full load, {_where(size)}"
    return [
        _row(size, setting, "errors", [found.outcome.errors], "swap"),
        _row(size, setting, "mixed_versions", [found.mixed], "swap"),
        _row(size, f"before, {setting}", "p99_ms", [found.p99_before_ms], "swap"),
        _row(size, f"worst second after, {setting}", "p99_ms", [found.p99_after_ms], "swap"),
        _row(size, setting, "seconds_of_doubled_p99", [found.slow_s], "swap"),
    ]


def outage_rows(size: Size) -> list[Row]:
    """Rows of an outage of Redis."""
    found = outage(size)
    if not found.degraded:
        raise RuntimeError("no answer was degraded; measure for longer")
    setting = f"killed for 2 s under full load, {_where(size)}"
    answers = len(found.outcome.statuses)
    return [
        _row(size, setting, "recommend_5xx", [found.outcome.server_errors], "redis-outage"),
        _row(size, setting, "errors", [found.outcome.errors], "redis-outage"),
        _row(size, setting, "degraded_share", [found.degraded / answers], "redis-outage"),
        _row(size, setting, "recovery_seconds", [found.recovery_s], "redis-outage"),
    ]


def soak_rows(size: Size) -> list[Row]:
    """Rows of memory over time."""
    found = soak(size, SOAK_PER_SECOND)
    minutes = size.seconds / 60
    setting = f"{minutes:g} min of {SOAK_PER_SECOND:g} recommendations/s, {_where(size)}"
    service_growth = growth_percent(found.service_mib)
    redis_growth = growth_percent(found.redis_mib)
    return [
        _row(size, setting, "service_memory_growth_percent", [service_growth], "soak"),
        _row(size, setting, "redis_memory_growth_percent", [redis_growth], "soak"),
        *(
            _row(size, setting, f"{what}_answered_{status}", [count], "soak")
            for what, statuses in (
                ("recommendations", found.recommend_statuses),
                ("events", found.event_statuses),
            )
            for status, count in sorted(statuses.items())
        ),
    ]


def _full_rows(size: Size, connections: int, load: FullLoad) -> list[Row]:
    full = f"{connections} connections, {_where(size)}"
    rows = [_row(size, full, "errors", [load.errors])]
    for name, side in (
        ("endpoint that returns the content", load.returned),
        ("endpoint that returns ready bytes", load.ready),
    ):
        setting = f"{full}, over an {name}"
        rows.append(_row(size, setting, "throughput_ratio", load.ratios(side)))
        rows.append(_row(size, setting, "processor_time_ratio", load.cpu_ratios(side)))
    return rows


def _where(size: Size) -> str:
    return f"index {size.variables['MUTUALREC_INDEX']}, {machine()}"


def _row(
    size: Size,
    setting: str,
    metric: str,
    values: Sequence[float] | NDArray[np.float64],
    model: str | None = None,
) -> Row:
    """The median of the rounds, with the least and the greatest."""
    name = model or f"recommend-{_short(size.items)}"
    spread = (float(np.median(values)), float(min(values)), float(max(values)))
    return spread_row("service_load", size.dataset, name, setting, metric, spread)


def _short(number: int) -> str:
    for unit, name in ((1_000_000, "m"), (1000, "k")):
        if number % unit == 0:
            return f"{number // unit}{name}"
    return str(number)


MEASURED: dict[str, Callable[[Size], list[Row]]] = {
    "throughput": throughput_rows,
    "memory": memory_rows,
    "memory_after_swap": memory_after_swap_rows,
    "swap": swap_rows,
    "outage": outage_rows,
    "soak": soak_rows,
}

if __name__ == "__main__":
    main()

"""How much slower recommendations are while the same machine retrains.

    python -m benchmarks.retraining_latency data/movielens-100k

Recommendations are asked for at a steady rate: for a while with nothing else going on, then while
the catalog is retrained as the scheduler does it, at low priority and on some of the cores. Each
round has new events to learn from. The ratio of the 99th percentiles is the figure; the times
themselves are those of the machine.
"""

import argparse
import logging
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np

from benchmarks.load.driver import Outcome, get, open_loop, run
from benchmarks.rows import Row, commit, machine, spread_row, write_rows
from benchmarks.serving_process import MODELS, publish_first, serving
from benchmarks.time_steps import Step, cut
from mutualrec.client import Client
from mutualrec.retraining.child import Ended, Limits, retrain_command, run_limited
from training.data.dataset import read_draft

BENCHMARK = "retraining-latency"
FIRST_SHARE = 0.9
SLICE_S = 2.0
WARM_UP_S = 2.0
_GRACE_S = 30.0
_MAX_S = 3600.0

logger = logging.getLogger(__name__)


def main() -> None:
    """Measure and write `results/retraining_latency.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", choices=MODELS, default="lightgcn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-second", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=20.0, help="asked alone, per round")
    parser.add_argument("--nice", type=int, default=10)
    parser.add_argument("--cores", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    commit()
    limits = Limits(_MAX_S, _GRACE_S, arguments.nice, arguments.cores)
    with tempfile.TemporaryDirectory(prefix="latency-") as folder:
        rounds = measure(
            Path(folder),
            cut(arguments.dataset, FIRST_SHARE, arguments.rounds, Path(folder) / "data"),
            arguments.model,
            limits,
            rate=arguments.per_second,
            seconds=arguments.seconds,
        )
    name = read_draft(arguments.dataset).name
    setting = (
        f"{arguments.per_second:g} per second, training at niceness {limits.nice} on"
        f" {limits.cores} core, {machine()}"
    )
    write_rows("retraining_latency", rows_of(name, arguments.model, setting, rounds))


def measure(
    folder: Path, steps: list[Step], model: str, limits: Limits, *, rate: float, seconds: float
) -> list[tuple[Outcome, Outcome]]:
    """Return per round what was answered alone, and what while the catalog was retrained."""
    home = folder / "home"
    publish_first(folder / "data", model, home)
    asked = [get(f"/recommend/{quote(user, safe='')}") for user in sorted(steps[0].known)]
    rounds = []
    with serving(home) as url, Client(url) as client, ThreadPoolExecutor(1) as training:
        port = int(urlsplit(url).port or 0)
        run(open_loop(port, asked, rate, WARM_UP_S))
        for step in steps:
            client.stream_interactions(step.events)
            alone = run(open_loop(port, asked, rate, seconds))
            ended = training.submit(run_limited, retrain_command("default", home), limits)
            during = _while_training(ended, lambda: run(open_loop(port, asked, rate, SLICE_S)))
            code = ended.result().exit_code
            logger.info(
                "exit code %d: p99 %.1f ms alone, %.1f ms of %d answers while retraining",
                *(code, alone.p99_ms(), during.p99_ms(), len(during.latencies)),
            )
            rounds.append((alone, during))
    return rounds


def rows_of(
    name: str, model: str, setting: str, rounds: list[tuple[Outcome, Outcome]]
) -> list[Row]:
    """Return medians over the rounds, with the lowest and the highest one."""
    alone = [before.p99_ms() for before, _ in rounds]
    during = [after.p99_ms() for _, after in rounds]
    ratios = [after / before for before, after in zip(alone, during, strict=True)]
    errors = [float(before.errors + after.errors) for before, after in rounds]
    found = {
        ("alone", "p99_ms"): alone,
        ("while retraining", "p99_ms"): during,
        ("while retraining over alone", "p99_ratio"): ratios,
        ("both", "errors"): errors,
    }
    return [
        spread_row(
            BENCHMARK,
            name,
            model,
            f"{when}, {setting}",
            metric,
            (float(np.median(values)), min(values), max(values)),
        )
        for (when, metric), values in found.items()
    ]


def _while_training(ended: Future[Ended], ask: Callable[[], Outcome]) -> Outcome:
    """Ask in slices; the last one, in which the training ended, counts as well."""
    whole = Outcome()
    while not ended.done():
        part = ask()
        whole.seconds += part.seconds
        whole.finished += part.finished
        whole.latencies += part.latencies
        whole.statuses += part.statuses
    return whole


if __name__ == "__main__":
    main()

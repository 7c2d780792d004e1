"""What retraining is worth while a service is in use: a replay in the order of time, over HTTP.

    python -m benchmarks.retraining_replay data/movielens-100k

A first version learns from the first half of the events. The others come in ten steps. Before each,
two services recommend to its users; then both are sent its events, and one of the two catalogs is
retrained. The other never is: it moves its users' vectors with their events, as the service does,
and nothing more.
"""

import argparse
import logging
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.retraining_picture import BENCHMARK, METRIC, WAYS, step_setting
from benchmarks.rows import Row, commit, spread_row, write_rows
from benchmarks.serving_process import MODELS, command, publish_first, serving
from benchmarks.time_steps import Step, cut
from mutualrec.client import Client
from service.artifact import current_version
from training.data.dataset import read_draft

K = 20
BATCH = 100
FIRST_SHARE = 0.5
NUM_STEPS = 10
RETRAINED, NEVER = WAYS
logger = logging.getLogger(__name__)


@dataclass
class Recalls:
    """Recall@20 of every user of every step, and which of the users were known before."""

    values: list[NDArray[np.float64]] = field(default_factory=list)
    known: list[NDArray[np.bool_]] = field(default_factory=list)


def main() -> None:
    """Measure and write `results/retraining_replay.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", choices=MODELS, default="lightgcn")
    parser.add_argument("--steps", type=int, default=NUM_STEPS)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    commit()
    name = read_draft(arguments.dataset).name
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        measured, codes = replay(arguments.dataset, arguments.model, arguments.steps, Path(folder))
    write_rows("retraining_replay", rows_of(name, arguments.model, measured, codes))


def replay(
    dataset: Path, model: str, num_steps: int, folder: Path
) -> tuple[dict[str, Recalls], list[int]]:
    """Return the recalls of both ways, and the exit codes of the retrainings."""
    steps = cut(dataset, FIRST_SHARE, num_steps, folder / "data")
    homes = {way: folder / way.replace(" ", "-") for way in WAYS}
    publish_first(folder / "data", model, homes[RETRAINED])
    shutil.copytree(homes[RETRAINED], homes[NEVER])
    recalls, codes = {way: Recalls() for way in WAYS}, []
    with ExitStack() as stack:
        clients = {
            way: stack.enter_context(Client(stack.enter_context(serving(home)), timeout_s=60.0))
            for way, home in homes.items()
        }
        for number, step in enumerate(steps, 1):
            for way, client in clients.items():
                values = recall(client, step)
                recalls[way].values.append(values)
                recalls[way].known.append(np.array([user in step.known for user in step.relevant]))
                logger.info("step %d, %s: %s %.4f", number, way, METRIC, values.mean())
                client.stream_interactions(step.events)
            codes.append(command(homes[RETRAINED], "retrain"))
            _until_served(clients[RETRAINED], homes[RETRAINED])
    return recalls, codes


def recall(client: Client, step: Step) -> NDArray[np.float64]:
    """Ask for every user of a step and compare with what they then did, [users]."""
    users = list(step.relevant)
    found = []
    for begin in range(0, len(users), BATCH):
        batch = users[begin : begin + BATCH]
        for user, answer in zip(batch, client.recommend_many(batch, k=K).results, strict=True):
            hits = {item.item_id for item in answer.items} & step.relevant[user]
            found.append(len(hits) / len(step.relevant[user]))
    return np.array(found)


def _until_served(client: Client, home: Path) -> None:
    wanted = current_version(home / "artifacts", "default")
    while client.popular(k=1).model_version != wanted:
        time.sleep(0.05)


def rows_of(name: str, model: str, measured: dict[str, Recalls], codes: Sequence[int]) -> list[Row]:
    """Every step, then all from the second on: before the first nothing was retrained."""

    def row(setting: str, metric: str, spread: tuple[float, float, float]) -> Row:
        return spread_row(BENCHMARK, name, model, setting, metric, spread)

    rows = [
        row(step_setting(number, way), METRIC, _spread(values))
        for way, recalls in measured.items()
        for number, values in enumerate(recalls.values, 1)
    ]
    known = np.concatenate(measured[NEVER].known[1:])
    for users, chosen in (("all users", np.ones_like(known)), ("known users", known)):
        later = {way: np.concatenate(r.values[1:])[chosen] for way, r in measured.items()}
        place = f"steps 2 to {len(codes)}, {users}"
        rows += [row(f"{place}: {way}", METRIC, _spread(v)) for way, v in later.items()]
        rows.append(row(place, f"{METRIC}_lift_percent", _lift(later[RETRAINED], later[NEVER])))
    promoted = float(codes.count(0))
    rows.append(row(f"of {len(codes)} retrainings", "promoted", (promoted,) * 3))
    return rows


def _spread(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """The mean with a 95 % bootstrap interval over users."""
    means = values[_draws(len(values))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def _lift(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float, float]:
    """By how many percent the mean of `one` is higher, with a paired bootstrap interval."""
    draws = _draws(len(one))
    lifts = 100 * (one[draws].mean(axis=1) / other[draws].mean(axis=1) - 1)
    low, high = np.quantile(lifts, [0.025, 0.975])
    return float(100 * (one.mean() / other.mean() - 1)), float(low), float(high)


def _draws(size: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(size, size=(1000, size))


if __name__ == "__main__":
    main()

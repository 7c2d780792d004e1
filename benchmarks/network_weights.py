"""Do weights of GNNMR's networks hold for users who did not choose them? On validation only.

    python -m benchmarks.network_weights data/tiktok --home var

Takes the finished runs of GNNMR with several modalities that lie there. Weights, and the best
single network, are chosen on one half of the validation users and measured on the other, both ways
round. Rows are means over the runs, with the lowest and the highest of them, and go to
`benchmarks/results/network_weights.json`; the test split stays closed.
"""

import argparse
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
import torch

from benchmarks.rows import Row, commit, update_rows
from benchmarks.tables import write_page
from models.inputs import Embeddings
from models.recommender import Recommender
from mutualrec.workspace import Workspace
from training.component_weights import weigh_components
from training.config import RunConfig
from training.data.dataset import Dataset, read_dataset
from training.data.pairs import Pairs
from training.data.splits import make_split
from training.evaluation import evaluate
from training.inputs import build_inputs
from training.registry import build_model, parse_params
from training.run_folder import RunFolder, finished_runs

METRICS = ("recall@20", "ndcg@20")
CHOICES = ("equal weights", "best single network", "likeliest weights")
SETTINGS = ("encoder", "item_ids", "mutual_weight", "faithful", "embedding_dim")


def halves(validation: Pairs, rng: np.random.Generator) -> Iterator[tuple[Pairs, Pairs]]:
    """Part the users, and yield the pairs of either part with those of the other."""
    users = np.unique(validation.user_rows)
    one = np.isin(validation.user_rows, users[rng.random(len(users)) < 0.5])
    parts = [Pairs(validation.user_rows[p], validation.item_rows[p]) for p in (one, ~one)]
    yield parts[0], parts[1]
    yield parts[1], parts[0]


@torch.no_grad()
def compare(model: Recommender, train: Pairs, validation: Pairs) -> dict[str, dict[str, float]]:
    """Return the metrics of equal weights, the best single network, and the likeliest weights.

    Args:
        model: It is trained, and its `component_weights` may be chosen.
        train: Training pairs.
        validation: Validation pairs, of which one half of the users chooses for the other.
    """
    weights = model.component_weights()
    assert weights is not None
    model.eval()
    weights.fill_(1.0)
    networks = model.components()
    found: dict[str, list[Mapping[str, float]]] = {name: [] for name in CHOICES}
    for choosing, measured in halves(validation, np.random.default_rng(0)):
        alone = [_measure(part, choosing, train)[METRICS[0]] for part in networks]
        best = networks[int(np.argmax(alone))]
        weights.fill_(1.0)
        found["equal weights"].append(_measure(model.embed(), measured, train))
        found["best single network"].append(_measure(best, measured, train))
        weigh_components(model, train, choosing)
        found["likeliest weights"].append(_measure(model.embed(), measured, train))
    return {
        name: {metric: mean(half[metric] for half in both) for metric in METRICS}
        for name, both in found.items()
    }


def _measure(vectors: Embeddings, relevant: Pairs, train: Pairs) -> dict[str, float]:
    users, items = vectors.users, vectors.items
    return evaluate(lambda rows: users[rows] @ items.T, relevant, train, len(users)).means


def weighable(run: RunFolder) -> RunConfig | None:
    """Return a run's settings with weights to choose; None for a run that has none."""
    config = run.config()
    several = len(config.modalities or ()) > 1 and config.params.get("ensemble") == "con"
    # A run whose weights were chosen is another one's twin; items without pairs are another task.
    chosen = config.params.get("ensemble_weights", "equal") != "equal"
    if config.model != "gnnmr" or not several or chosen or config.split == "cold_items":
        return None
    return replace(config, params={**config.params, "ensemble_weights": "validation"})


def load(dataset: Dataset, run: RunFolder, config: RunConfig, cache: Path) -> Recommender:
    """Build the model of a run and give it the trained state."""
    train = make_split(dataset, config.split, config.split_seed).train
    inputs = build_inputs(dataset, train, config.modalities, cache=cache)
    model = build_model("gnnmr", parse_params("gnnmr", config.params), inputs, config.seed)
    model.load_state_dict(run.model_state(), strict=False)
    return model


def main() -> None:
    """Measure every run and write the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network_weights")
    parser.add_argument("folder", type=Path, help="dataset folder")
    parser.add_argument("--home", type=Path, default=Path(".mutualrec"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger(__name__).setLevel(logging.INFO)
    dataset, workspace = read_dataset(given.folder), Workspace(given.home)
    commit()
    found = []
    for run in finished_runs(workspace.runs(dataset.name)):
        config = weighable(run)
        if config is None or run.fingerprint() != dataset.fingerprint:
            continue
        split = make_split(dataset, config.split, config.split_seed)
        model = load(dataset, run, config, workspace.cache)
        found.append(compare(model, split.train, split.validation))
        shown = " ".join(f"{name}={config.params[name]}" for name in SETTINGS)
        logging.getLogger(__name__).info("%s seed=%d %s", shown, config.seed, found[-1])
    update_rows("network_weights", lambda: _rows(dataset.name, found))
    write_page()


def _rows(dataset: str, found: Sequence[Mapping[str, Mapping[str, float]]]) -> list[Row]:
    rows = []
    for name in CHOICES if found else ():
        for metric in METRICS:
            values = [run[name][metric] for run in found]
            value, low, high = (round(x, 4) for x in (mean(values), min(values), max(values)))
            row = Row(
                benchmark="network_weights", dataset=dataset, model="gnnmr",
                setting=f"validation, {name}, {len(found)} runs", metric=metric,
                value=value, low=low, high=high, seeds=[0], commit=commit(),
                command=f"python -m benchmarks.network_weights data/{dataset} --home var",
            )  # fmt: skip
            rows.append(row)
    return rows


if __name__ == "__main__":
    main()

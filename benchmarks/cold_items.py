"""What the service makes of items that no training knows.

    python -m benchmarks.cold_items data/amazon-baby --home var

A model is trained on the split `cold_items`, and its vectors are published without those items.
They are put into the running service with their features, and the service's answers are compared
with those of the trained model, which knew their features, and with popularity by category.
Everything in `service/items` was chosen with the validation items; `--test` opens the others, once.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.cold_service import Learned, Served, publish_warm, put_items, spread
from benchmarks.experiment import Variant
from benchmarks.place import Place
from benchmarks.rows import Row, commit, spread_row, write_rows
from mutualrec.workspace import Workspace
from service.recommend import recommend, view_user
from service.rules import Rules
from training.data.dataset import Dataset, read_dataset
from training.data.splits import Pairs, Split, make_split
from training.evaluation import Metrics, Scorer, evaluate
from training.runs import train_run, vector_scorer

METRIC = "recall@20"
CLUSTERS = 50
"""Categories that stand in where the data has none: clusters of the items' vectors."""

_DEPTH = 50
_NOTHING = 1e-3
"""Of less than this recall no multiple is told."""

_SPLIT = "cold_items"
_ALL, _NEW = "all items compete", "new items compete"


def main() -> None:
    """Measure and write `results/cold_items.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--home", type=Path, default=Path("var"))
    parser.add_argument("--models", nargs="+", default=["gnnmr", "micro", "lightgcn"])
    parser.add_argument("--test", action="store_true")
    arguments = parser.parse_args()
    commit()
    torch.set_num_threads(1)
    dataset = read_dataset(arguments.dataset)
    place = Place(Workspace(arguments.home))
    for model in arguments.models:
        write_rows("cold_items", measure(dataset, place, model, test=arguments.test))


def measure(dataset: Dataset, place: Place, model: str, *, test: bool) -> list[Row]:
    """Train what is not trained, serve it, and measure every way of ranking.

    Args:
        dataset: The dataset.
        place: Where runs are.
        model: Registry name.
        test: Open the test items instead of measuring on those of validation.

    Raises:
        SplitLeakage: The test items were opened for this run before.
    """
    variant = Variant(label=model, model=model, split=_SPLIT)
    run, config = place.run(dataset, variant, 0), place.config(dataset, variant, 0)
    train_run(dataset, config, run, cache=place.workspace.cache, device=place.device)
    split = make_split(dataset, config.split, config.split_seed)
    stored = run.embeddings()
    learned = Learned(model, stored["users"], stored["items"], split.train)
    known = np.bincount(split.train.item_rows, minlength=dataset.num_items) > 0
    with tempfile.TemporaryDirectory() as folder:
        publish_warm(dataset, learned, np.flatnonzero(known), Path(folder))
        served = put_items(dataset, np.flatnonzero(~known), Path(folder))
        record = place.workspace.home / "cold-items" / dataset.name / run.path.name / "test.json"
        relevant = split.test.open(record) if test else split.validation
        case = _Case(dataset, split, relevant, torch.from_numpy(known))
        found = _measured(case, learned, served)
    rows = _Rows(dataset, model, "test" if test else "validation")
    return [*rows.accuracy(found), *rows.times(served)]


@dataclass(frozen=True)
class _Case:
    """Who is asked for what; `known` [num_items] tells the items that were trained on."""

    dataset: Dataset
    split: Split
    relevant: Pairs
    known: Tensor

    def evaluated(self, score: Scorer, *, new_only: bool) -> Metrics:
        """Measure scores of all items, or of the new ones."""

        def of_new(user_rows: Tensor) -> Tensor:
            return score(user_rows).masked_fill(self.known, -torch.inf)

        chosen = of_new if new_only else score
        return evaluate(chosen, self.relevant, self.split.train, self.dataset.num_users)


Found = Mapping[tuple[str, str], Metrics]
"""What was measured, by who competes and by way of ranking."""


def _measured(case: _Case, learned: Learned, served: Served) -> Found:
    trained = vector_scorer(learned.users, learned.items)
    popular = _popularity_by_category(case)
    found = {}
    for who, new_only in ((_ALL, False), (_NEW, True)):
        ways = {
            "service": _service_scorer(case, served, new_only=new_only),
            "trained model": trained,
            "popularity by category": popular,
        }
        for way, score in ways.items():
            found[who, way] = case.evaluated(score, new_only=new_only)
    return found


def _service_scorer(case: _Case, served: Served, *, new_only: bool) -> Scorer:
    """Scores that rank as the service answers; everything beyond its answers is left out."""
    snapshot, user_ids = served.snapshot, case.dataset.users.ids_tuple
    new_ids = snapshot.artifact.item_ids[snapshot.num_trained :]
    rules = Rules(include=frozenset(new_ids)) if new_only else None
    item_rows = torch.from_numpy(served.rows)

    def score(user_rows: Tensor) -> Tensor:
        scores = torch.full((len(user_rows), case.dataset.num_items), -torch.inf)
        for number, user_row in enumerate(user_rows.tolist()):
            view = view_user(snapshot, user_ids[user_row], (), exclude_seen=True, now_ms=0)
            answer = recommend(snapshot, view, _DEPTH, rules)
            rows = torch.tensor([item.item_row for item in answer], dtype=torch.int64)
            scores[number, item_rows[rows]] = -torch.arange(len(rows), dtype=torch.float32)
        return scores

    return score


def _popularity_by_category(case: _Case) -> Callable[[Tensor], Tensor]:
    """The share of a category in a user's items times the popularity of the item in it.

    A new item counts as much as the mean of its category. Among equals a fixed random draw decides.
    """
    codes, count = _categories(case.dataset)
    users, items = case.split.train.user_rows, case.split.train.item_rows
    shares = np.zeros((case.dataset.num_users, count), np.float32)
    np.add.at(shares, (users, codes[items]), 1.0)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1.0)
    popularity = np.bincount(items, minlength=case.dataset.num_items).astype(np.float64)
    known = case.known.numpy()
    sizes = np.bincount(codes[known], minlength=count)
    means = np.bincount(codes[known], popularity[known], minlength=count) / np.maximum(sizes, 1)
    popularity = np.where(known, popularity, means[codes])
    popularity += 1e-3 * np.random.default_rng(0).random(len(popularity))
    of_item = torch.from_numpy(popularity.astype(np.float32))
    by_user, columns = torch.from_numpy(shares), torch.from_numpy(codes)
    return lambda user_rows: by_user[user_rows][:, columns] * of_item


def _categories(dataset: Dataset) -> tuple[NDArray[np.int64], int]:
    """The category of every item, and how many there are."""
    if dataset.codes:
        name = sorted(dataset.codes)[0]
        codes = np.asarray(dataset.codes[name], np.int64)
        return np.where(codes < 0, codes.max() + 1, codes), int(codes.max()) + 2
    parts = []
    for _, matrix in sorted(dataset.features.items()):
        rows = np.nan_to_num(matrix, nan=0.0).astype(np.float32)
        parts.append(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
    vectors = np.ascontiguousarray(np.concatenate(parts, axis=1))
    kmeans = faiss.Kmeans(vectors.shape[1], CLUSTERS, seed=1, niter=25)
    kmeans.train(vectors)
    return kmeans.index.search(vectors, 1)[1][:, 0].astype(np.int64), CLUSTERS


@dataclass(frozen=True)
class _Rows:
    """Makes the rows of one model."""

    dataset: Dataset
    model: str
    part: str

    def accuracy(self, found: Found) -> list[Row]:
        """Return recall of every way, and what the service reaches of the others."""
        rows = []
        for (who, way), metrics in found.items():
            low, high = metrics.interval(METRIC, np.random.default_rng(0))
            setting = f"{self.part}, {who}: {way}"
            rows.append(self._row(setting, METRIC, (metrics.means[METRIC], low, high)))
        names = {
            "trained model": "cold_item_share_of_trained",
            "popularity by category": "cold_item_times_popularity",
        }
        for who in (_ALL, _NEW):
            for way, metric in names.items():
                other = found[who, way]
                if other.means[METRIC] > _NOTHING:
                    share = _ratio(found[who, "service"], other)
                    rows.append(self._row(f"{self.part}, {who}", metric, share))
        return rows

    def times(self, served: Served) -> list[Row]:
        """Return the seconds of single items: the median, the least and the greatest."""
        return [
            self._row("from PUT to its answer", "seconds", spread(served.own_s)),
            self._row("from PUT to another worker", "seconds", spread(served.other_s)),
        ]

    def _row(self, setting: str, metric: str, values: tuple[float, float, float]) -> Row:
        return spread_row("cold-items", self.dataset.name, self.model, setting, metric, values)


def _ratio(own: Metrics, other: Metrics) -> tuple[float, float, float]:
    """The ratio of the means, with a bootstrap interval over the users."""
    rng = np.random.default_rng(0)
    one, two = own.per_user[METRIC], other.per_user[METRIC]
    draws = rng.integers(len(one), size=(1000, len(one)))
    ratios = one[draws].mean(axis=1) / np.maximum(two[draws].mean(axis=1), 1e-12)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(one.mean() / two.mean()), float(low), float(high)


if __name__ == "__main__":
    main()

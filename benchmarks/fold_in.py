"""What moving a user's vector with every event is worth: a replay in the order of time.

    python -m benchmarks.fold_in data/movielens-100k

A model is trained on the first part of time. In the next part its vectors are moved by the
service's own code, and compared with standing still, with popular items, and with training again on
the same events. `--rules` compares rules of moving instead, on an earlier window: the one in
`service/user_vector.py` was chosen so.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.fold_in_models import SETTINGS, Learned, learn, served, together, united
from benchmarks.replay import Case, Replay, replay
from benchmarks.rows import Row, commit, spread_row, write_rows
from service.artifact import Artifact
from service.user_vector import PRIOR_STRENGTH, Moved, fold_in_of, user_vectors
from training.data.dataset import Dataset, read_dataset
from training.evaluation import Metrics, evaluate
from training.runs import vector_scorer

METRIC = "recall@20"
CHOOSING = (0.6, 0.8)
REPORTED = (0.8, 1.0)
ENSEMBLE = ("ease", "lightgcn")
PROMISED = "new users after 5 events"
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class Rule:
    """A way to move a vector: the prior's strength, and what the items say.

    With `exponent` an item counts by its degree to the power of minus that. With `ridge` items say
    (V'V + ridge I)^-1 v instead of v, ridge in mean eigenvalues of V'V: the half step of implicit
    least squares, as if nothing but the new events were there.
    """

    prior_strength: float = PRIOR_STRENGTH
    exponent: float = 0.0
    ridge: float | None = None

    def __str__(self) -> str:
        name = f"prior {self.prior_strength if self.prior_strength > _NEGLIGIBLE else 0:g}"
        if self.exponent:
            name += f", degree^-{self.exponent:g}"
        return name if self.ridge is None else f"{name}, ridge {self.ridge:g}"


RULES = (
    *(Rule(strength) for strength in (_NEGLIGIBLE, 1.0, 2.0, 3.0, 4.0, 6.0)),
    *(Rule(strength, exponent=0.5) for strength in (_NEGLIGIBLE, 3.0)),
    *(Rule(strength, ridge=ridge) for strength in (_NEGLIGIBLE, 3.0) for ridge in (0.1, 1.0)),
)


def main() -> None:
    """Measure and write `results/fold_in.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--models", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--rules", action="store_true")
    arguments = parser.parse_args()
    commit()
    torch.set_num_threads(1)
    dataset = read_dataset(arguments.dataset)
    run = replay(dataset, *(CHOOSING if arguments.rules else REPORTED))
    measure = compare_rules if arguments.rules else compare
    members: dict[str, Learned] = {}
    for name in arguments.models:
        members[name] = learn(name, dataset, run, again=not arguments.rules)
        write_rows("fold_in", measure(dataset, run, name, [members[name]]))
    if set(ENSEMBLE) <= set(members):
        parts = [members[name] for name in ENSEMBLE]
        write_rows("fold_in", measure(dataset, run, "ensemble", parts))


def compare(dataset: Dataset, run: Replay, model: str, members: Sequence[Learned]) -> list[Row]:
    """Measure every case: moved, not moved, trained again, and popular items."""
    ensemble = together([member.before for member in members])
    popularity = np.bincount(run.trained.item_rows, minlength=dataset.num_items)
    ones = np.ones((dataset.num_users, 1), np.float32)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        artifact = served(dataset, run, ensemble, Path(folder))
        for case in run.cases:
            again = together([member.again[case.name] for member in members])
            ways = {
                "moved": (moved(dataset, artifact, case, Rule()), artifact.items),
                "trained again": (again.users.numpy(), again.items.numpy()),
                "popular": (ones, popularity[:, None].astype(np.float32)),
            }
            if not case.is_new:
                ways["not moved"] = (ensemble.users.numpy(), artifact.items)
            found = {way: _evaluated(dataset, run, case, *ways[way]) for way in ways}
            rows += [
                _row(dataset, model, f"{case.name}: {way}", metrics)
                for way, metrics in found.items()
            ]
            if case.name == PROMISED:
                rows.append(_share(dataset, model, found["moved"], found["trained again"]))
    return rows


def compare_rules(
    dataset: Dataset, run: Replay, model: str, members: Sequence[Learned]
) -> list[Row]:
    """Measure every case with every rule."""
    ensemble = together([member.before for member in members])
    with tempfile.TemporaryDirectory() as folder:
        artifact = served(dataset, run, ensemble, Path(folder))
        return [
            _row(
                dataset,
                model,
                f"choosing, {case.name}: {rule}",
                _evaluated(
                    dataset, run, case, moved(dataset, artifact, case, rule), artifact.items
                ),
            )
            for case in run.cases
            for rule in RULES
        ]


def moved(dataset: Dataset, artifact: Artifact, case: Case, rule: Rule) -> NDArray[np.float32]:
    """Move the vectors of a case's users by what was observed; others are zero, [num_users, D]."""
    fold_in = fold_in_of(artifact)
    user_rows = {int(user_id): row for row, user_id in enumerate(artifact.user_ids)}
    degrees = np.maximum(artifact.popularity, 1.0)
    saying = artifact if rule.ridge is None else _ridged(artifact, rule.ridge)
    vectors = np.zeros((dataset.num_users, artifact.users.shape[1]), np.float32)
    indptr, indices = case.observed.to_csr(dataset.num_users)
    for user in np.unique(case.observed.user_rows):
        items = indices[indptr[user] : indptr[user + 1]]
        weights = degrees[items] ** -rule.exponent
        weights *= len(items) / weights.sum()
        asked = Moved(user_rows.get(int(user)), items.tolist(), weights.tolist())
        [vector] = user_vectors(saying, fold_in, [asked], prior_strength=rule.prior_strength)
        vectors[user] = 0.0 if vector is None else vector
    return vectors


def _ridged(artifact: Artifact, ridge: float) -> Artifact:
    items = np.array(artifact.items)
    factors = {name: np.array(values) for name, values in artifact.factors.items()}
    for block in artifact.blocks:
        columns = items[:, block.columns].astype(np.float64)
        gram = columns.T @ columns
        gram += ridge * np.trace(gram) / block.width * np.eye(block.width)
        items[:, block.columns] = np.linalg.solve(gram, columns.T).T
        # In this rule a closed-form block is what any other is: vectors of items.
        factors[block.name] = items[:, block.columns]
    return replace(artifact, items=items, factors=factors)


def _evaluated(
    dataset: Dataset,
    run: Replay,
    case: Case,
    users: NDArray[np.float32],
    items: NDArray[np.float32],
) -> Metrics:
    score = vector_scorer(torch.from_numpy(users), torch.from_numpy(np.array(items)))
    masked = united(run.trained, case.observed)
    return evaluate(score, case.relevant, masked, dataset.num_users)


def _row(dataset: Dataset, model: str, setting: str, metrics: Metrics) -> Row:
    low, high = metrics.interval(METRIC, np.random.default_rng(0))
    return _written(dataset, model, setting, METRIC, (metrics.means[METRIC], low, high))


def _share(dataset: Dataset, model: str, own: Metrics, again: Metrics) -> Row:
    """What moving reaches of training again, with a bootstrap interval over the users."""
    rng = np.random.default_rng(0)
    one, other = own.per_user[METRIC], again.per_user[METRIC]
    draws = rng.integers(len(one), size=(1000, len(one)))
    shares = one[draws].mean(axis=1) / np.maximum(other[draws].mean(axis=1), 1e-12)
    low, high = np.quantile(shares, [0.025, 0.975])
    value = one.mean() / max(other.mean(), 1e-12)
    metric = "fold_in_new_user_share_of_retrain"
    return _written(dataset, model, PROMISED, metric, (float(value), float(low), float(high)))


def _written(
    dataset: Dataset, model: str, setting: str, metric: str, values: tuple[float, float, float]
) -> Row:
    return spread_row("fold-in", dataset.name, model, setting, metric, values)


if __name__ == "__main__":
    main()

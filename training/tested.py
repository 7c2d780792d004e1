"""The one look at a test split: what is measured, and the files it leaves."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from training.data.splits import Split
from training.errors import DataError
from training.evaluation import Metrics, Scorer, evaluate
from training.files import replacing
from training.stored import load_tensors, read_record, write_json

RECORD = "test.json"
PER_USER = "test-users.safetensors"
_KEPT_PER_USER = ("recall@20", "ndcg@20")


@dataclass(frozen=True)
class Measured:
    """`test.json`: what was measured on the test split, by metric.

    Args:
        metrics: Means over users; None when the measuring was interrupted.
        intervals: 95 % bootstrap intervals of the means over users.
        channels: Per modality the means when it alone is kept, for models that use modalities.
    """

    metrics: dict[str, float] | None = None
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    channels: dict[str, dict[str, float]] = field(default_factory=dict)


def measure_once(
    split: Split,
    num_users: int,
    folder: Path,
    score: Scorer,
    channels: Mapping[str, Scorer] | None = None,
) -> Metrics:
    """Open the test split for a run or an ensemble and record everything that is measured.

    Args:
        split: The split whose test part is opened.
        num_users: Number of users.
        folder: Folder of the run or ensemble; gets `test.json` and `test-users.safetensors`,
            the values per user that comparisons of two runs are made of.
        score: Scores of all items.
        channels: Per modality the scores when it alone is kept.

    Raises:
        SplitLeakage: It was opened before.
    """
    record = folder / RECORD
    test = split.test.open(record)
    metrics = evaluate(score, test, split.train, num_users)
    rng = np.random.default_rng(0)
    tested = {
        "metrics": metrics.means,
        "intervals": {name: metrics.interval(name, rng) for name in metrics.per_user},
        "channels": {
            modality: evaluate(alone, test, split.train, num_users).means
            for modality, alone in (channels or {}).items()
        },
    }
    values = {name: torch.from_numpy(metrics.per_user[name]).float() for name in _KEPT_PER_USER}
    with replacing(folder / PER_USER) as draft:
        save_file({"user_rows": torch.from_numpy(metrics.user_rows), **values}, draft)
    write_json(record, {**json.loads(record.read_text()), **tested})
    return metrics


def read_tested(folder: Path) -> Measured | None:
    """Return what was measured; None when the test split was not opened yet.

    Raises:
        DataError: The record is damaged.
    """
    record = folder / RECORD
    return read_record(record, Measured) if record.exists() else None


def relative_change(
    folder: Path, baseline: Path, metric: str, *, draws: int = 1000
) -> tuple[float, float, float]:
    """Compare two tested folders user by user.

    Args:
        folder: What is compared.
        baseline: What it is compared with.
        metric: `recall@20` or `ndcg@20`.
        draws: Bootstrap samples of the users, the same for both.

    Returns:
        The change of the mean in percent of the baseline, and its 95 % interval.

    Raises:
        DataError: Values per user are missing, or the users differ.
    """
    ours, theirs = (load_tensors(f / PER_USER, ("user_rows", metric)) for f in (folder, baseline))
    if not torch.equal(ours["user_rows"], theirs["user_rows"]):
        raise DataError(f"{folder} and {baseline} were tested on different users")
    new, old = ours[metric].double().numpy(), theirs[metric].double().numpy()
    rng = np.random.default_rng(0)
    changes = []
    for _ in range(draws):
        drawn = rng.integers(0, len(new), len(new))
        before = old[drawn].mean()
        changes.append(100.0 * (new[drawn].mean() - before) / max(before, 1e-12))
    low, high = np.quantile(changes, [0.025, 0.975])
    change = 100.0 * (new.mean() - old.mean()) / max(old.mean(), 1e-12)
    return float(change), float(low), float(high)

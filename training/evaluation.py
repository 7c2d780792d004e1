"""Full-ranking evaluation: every item is a candidate, training items are masked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.splits import Pairs

CUTOFFS = (5, 10, 20, 50)
METRICS = tuple(f"{name}@{k}" for k in CUTOFFS for name in ("recall", "ndcg", "precision"))
Scorer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Ranking:
    """The top items of the users that have something to find.

    `user_rows` [users] int64, `item_rows` [users, K] int64 best first; where fewer than K items
    are candidates the rest is -1. `hits` [users, K] bool, `num_relevant` [users] int64.
    """

    user_rows: NDArray[np.int64]
    item_rows: NDArray[np.int64]
    hits: NDArray[np.bool_]
    num_relevant: NDArray[np.int64]


@dataclass(frozen=True)
class Metrics:
    """Values per user, `{"recall@20": [users], ...}`, and their means."""

    user_rows: NDArray[np.int64]
    per_user: Mapping[str, NDArray[np.float64]]

    @property
    def means(self) -> dict[str, float]:
        """The mean of every metric over users; 0 when there are none."""
        return {k: float(v.mean()) if len(v) else 0.0 for k, v in self.per_user.items()}

    def interval(
        self, metric: str, rng: np.random.Generator, *, level: float = 0.95, draws: int = 1000
    ) -> tuple[float, float]:
        """Bootstrap confidence interval of a mean over users (percentile method)."""
        values = self.per_user[metric]
        if not len(values):
            return 0.0, 0.0
        means = [rng.choice(values, len(values)).mean() for _ in range(draws)]
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


@torch.no_grad()
def rank(
    score: Scorer,
    relevant: Pairs,
    masked: Pairs,
    num_users: int,
    *,
    depth: int = max(CUTOFFS),
    block_users: int = 2048,
    device: torch.device | str = "cpu",
) -> Ranking:
    """Rank all items for every user of `relevant`, leaving out the pairs of `masked`.

    Args:
        score: Maps user rows [batch] to scores [batch, num_items].
        relevant: The pairs to be found.
        masked: Pairs that are no candidates (the training pairs).
        num_users: Number of users.
        depth: Length K of the lists.
        block_users: Users scored at a time.
        device: Where `score` works.
    """
    indptr, indices = relevant.to_csr(num_users)
    seen_indptr, seen_indices = masked.to_csr(num_users)
    user_rows = np.flatnonzero(np.diff(indptr))
    num_relevant = np.diff(indptr)[user_rows]
    found, hits = [], []
    for start in range(0, len(user_rows), block_users):
        block = user_rows[start : start + block_users]
        scores = score(torch.from_numpy(block).to(device))
        rows, items = _entries(seen_indptr, seen_indices, block, device)
        scores[rows, items] = -torch.inf
        top = torch.topk(scores, min(depth, scores.shape[1]), dim=-1)
        items_found = torch.where(top.values > -torch.inf, top.indices, -1)
        target = torch.zeros(scores.shape, dtype=torch.bool, device=device)
        target[_entries(indptr, indices, block, device)] = True
        hit = target.gather(1, top.indices) & (items_found >= 0)
        found.append(items_found.cpu().numpy())
        hits.append(hit.cpu().numpy())
    empty = np.zeros((0, depth), dtype=np.int64)
    return Ranking(
        user_rows,
        np.concatenate(found) if found else empty,
        np.concatenate(hits) if hits else empty.astype(np.bool_),
        num_relevant,
    )


def _entries(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int64],
    block: NDArray[np.int64],
    device: torch.device | str,
) -> tuple[Tensor, Tensor]:
    """Return the (position in block, item) coordinates of the CSR rows named by `block`."""
    starts, counts = indptr[block], indptr[block + 1] - indptr[block]
    rows = np.repeat(np.arange(len(block)), counts)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    items = indices[np.repeat(starts, counts) + offsets]
    return (
        torch.from_numpy(rows).to(device),
        torch.from_numpy(items.astype(np.int64)).to(device),
    )


def measure(ranking: Ranking, cutoffs: tuple[int, ...] = CUTOFFS) -> Metrics:
    """Compute Recall, NDCG and Precision at every cutoff, per user.

    Recall@k = hits / |relevant|. Precision@k = hits / k, also when fewer than k items are
    candidates. NDCG@k = DCG / IDCG with gain 1 / log2(rank + 1); the ideal list holds
    min(|relevant|, k) hits, also those that were not retrieved.
    """
    hits = ranking.hits.astype(np.float64)
    depth = hits.shape[1]
    discounts = 1.0 / np.log2(np.arange(2, max(*cutoffs, depth) + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    values: dict[str, NDArray[np.float64]] = {}
    for k in cutoffs:
        top = hits[:, :k]
        count = top.sum(1)
        values[f"recall@{k}"] = count / ranking.num_relevant
        gain = top @ discounts[: top.shape[1]]
        values[f"ndcg@{k}"] = gain / ideal[np.minimum(ranking.num_relevant, k)]
        values[f"precision@{k}"] = count / k
    return Metrics(ranking.user_rows, values)


def evaluate(
    score: Scorer,
    relevant: Pairs,
    masked: Pairs,
    num_users: int,
    *,
    device: torch.device | str = "cpu",
) -> Metrics:
    """Rank all items for the users of `relevant` and measure at every cutoff."""
    return measure(rank(score, relevant, masked, num_users, device=device))

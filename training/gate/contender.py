"""The champion or the candidate, asked for rankings in the rows of one dataset."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.artifact import Artifact
from training.data.pairs import Pairs
from training.evaluation import Ranking, rank
from training.gate.holdout import Holdout, minus, rows_in, seen_pairs
from training.gate.serving import Served, events_of

DEPTH = 20


@dataclass(frozen=True, eq=False)
class Contender:
    """A version, and what the service makes of it.

    What it has not learned of the known interactions moves the users' vectors, as it would if it
    were served now.
    """

    artifact: Artifact
    served: Served
    holdout: Holdout

    def rank(self, relevant: Pairs) -> Ranking:
        """Rank every item of the dataset for the users of `relevant`, known pairs left out.

        Users whom the version knows nothing of get popular items. Items that it does not know
        cannot be found.
        """
        user_rows = np.unique(relevant.user_rows)
        num_users = self.holdout.dataset.num_users
        return rank(self._scorer(user_rows), relevant, self.holdout.known, num_users, depth=DEPTH)

    def queries(self, user_rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of users as they would be served, [n, D]."""
        return self.served.queries(events_of(self.holdout.dataset, user_rows, self._fresh))

    @cached_property
    def _fresh(self) -> Pairs:
        dataset = self.holdout.dataset
        learned = seen_pairs(self.artifact, dataset)
        return minus(self.holdout.known, learned, dataset.num_items)

    def _scorer(self, user_rows: NDArray[np.int64]) -> Callable[[Tensor], Tensor]:
        queries = torch.from_numpy(self.queries(user_rows))
        rows = rows_in(self.holdout.dataset.items, self.artifact.item_ids)
        here = np.flatnonzero(rows >= 0)
        num_items = self.holdout.dataset.num_items
        items = torch.zeros(num_items, queries.shape[1])
        popularity = torch.full((num_items,), -torch.inf)
        items[rows[here]] = torch.from_numpy(self.artifact.items[here])
        popularity[rows[here]] = torch.from_numpy(self.artifact.popularity[here]).float()
        absent = torch.isinf(popularity)

        def score(asked: Tensor) -> Tensor:
            vectors = queries[np.searchsorted(user_rows, asked.numpy())]
            scores = (vectors @ items.T).masked_fill(absent, -torch.inf)  # [batch, num_items]
            unknown = ~vectors.any(dim=1)
            scores[unknown] = popularity
            return scores

        return score

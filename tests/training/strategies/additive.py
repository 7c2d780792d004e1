"""A model of three additive parts of width 1, small enough to compute by hand."""

from collections import Counter

import torch
from torch import Tensor, nn

from models.features import mean_ablated, slot
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep
from models.losses import bpr
from models.recommender import Recommender

PARTS = {
    None: ([1.0, 2.0], [1.0, 0.0, 2.0]),
    "image": ([1.0, 1.0], [2.0, 1.0, 3.0]),
    "text": ([2.0, 1.0], [2.0, 1.0, 3.0]),
}


def column(values: list[float]) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values)[:, None])


class Additive(Recommender):
    """Scores of an ID part and one part per modality; `labelled` says whose each is.

    `passes` counts what was asked for.
    """

    def __init__(self, *, labelled: bool, factor: float = 1.0) -> None:
        features = {modality: torch.ones(3, 1) for modality in ("image", "text")}
        edges = torch.tensor([[0, 1], [0, 2]])
        super().__init__(Inputs(2, 3, edges, features))
        self.labelled = labelled
        self.ids = nn.ParameterList([column(PARTS[None][0]), column(PARTS[None][1])])
        self.own = nn.ModuleDict(
            {
                slot(m): nn.ParameterList([column(PARTS[m][0]), column(PARTS[m][1])])
                for m in self.modalities
            }
        )
        with torch.no_grad():
            for users in (self.ids[0], *(self.own[slot(m)][0] for m in self.modalities)):
                users.mul_(factor)
        self.passes: Counter[Keep] = Counter()

    def components(self, keep: Keep = ALL) -> list[Embeddings]:
        self.passes[keep] += 1
        parts = [Embeddings(self.ids[0], self.ids[1])]
        for modality in self.modalities:
            users, items = self.own[slot(modality)]
            parts.append(
                Embeddings(mean_ablated(users, modality, keep), mean_ablated(items, modality, keep))
            )
        return parts

    def component_owners(self) -> tuple[str | None, ...] | None:
        return (None, *self.modalities) if self.labelled else None

    def embed(self, keep: Keep = ALL) -> Embeddings:
        parts = self.components(keep)
        return Embeddings(
            torch.cat([part.users for part in parts], -1),
            torch.cat([part.items for part in parts], -1),
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"bpr": bpr(self.embed(), batch)}

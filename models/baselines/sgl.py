"""SGL: LightGCN with self-supervision between two views of the graph."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.encoders import Encoder
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep
from models.losses import bpr, info_nce, l2
from models.params import Count, Params, Positive, Share, Weight
from models.recommender import Recommender
from models.sparse import SparseMatrix, symmetric_adjacency


@dataclass(frozen=True)
class SGLParams(Params):
    """Parameters of `SGL`.

    Args:
        embedding_dim: Width of the vectors.
        num_layers: Propagation layers.
        dropout: Share rho of the edges that a view lacks, Eq. 8.
        contrast_weight: lambda_1 of Eq. 11, on the mean over the contrasted rows.
        contrast_samples: Users, and items, of a batch that are contrasted at most.
        temperature: tau of Eq. 10.
        reg_weight: lambda_2 of Eq. 11, on the squared norms of the batch's ID embeddings.
    """

    embedding_dim: Count = 64
    num_layers: Count = 2
    dropout: Share = 0.1
    contrast_weight: Weight = 0.1
    contrast_samples: Count = 1024
    temperature: Positive = 0.2
    reg_weight: Weight = 1e-2


class SGL(Recommender):
    """SGL with edge dropout (SGL-ED) of Wu et al. 2021, arXiv:2010.10783.

    LightGCN (He et al. 2020) trained by BPR on the full graph, joined by InfoNCE between the
    vectors of a node in two graphs that lack different random edges, drawn anew every epoch
    (Eq. 8, 10 and 11). Only the full graph is used for recommending.

    Deviates from Eq. 10: a node is contrasted with the other distinct nodes of its batch, up to
    `contrast_samples` users and as many items, not with all users and all items.
    """

    edge_index: Tensor

    def __init__(self, inputs: Inputs, params: SGLParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        self.params = params
        self.encoder = Encoder(
            inputs, "lightgcn", params.embedding_dim, params.num_layers, generator
        )
        self.register_buffer("edge_index", inputs.edge_index, persistent=False)
        self.first_view: SparseMatrix | None = None
        self.second_view: SparseMatrix | None = None

    def refresh(self, epoch: int, generator: torch.Generator) -> None:  # noqa: ARG002
        """Draw the two views of the epoch."""
        self.first_view = self._view(generator)
        self.second_view = self._view(generator)

    def _view(self, generator: torch.Generator) -> SparseMatrix:
        """Eq. 8: the graph without a random share of its edges, normalised by what is left."""
        edges = self.edge_index
        drawn = torch.rand(edges.shape[1], generator=generator, device=edges.device)
        edges = edges[:, drawn >= self.params.dropout]
        return symmetric_adjacency(edges, self.num_users, self.num_items)

    def embed(self, keep: Keep = ALL) -> Embeddings:  # noqa: ARG002  # it has no modalities
        """Return the layer means on the full graph; `keep` changes nothing."""
        vectors: Embeddings = self.encoder()
        return vectors

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr`, `contrast` and `reg` of Eq. 11."""
        params = self.params
        tables = (self.encoder.users, self.encoder.items)
        return {
            "bpr": bpr(self.embed(), batch),
            "contrast": params.contrast_weight * self._contrast(batch),
            "reg": params.reg_weight * l2(tables, batch),
        }

    def _contrast(self, batch: Batch) -> Tensor:
        """Eq. 10 for users plus the same for items, each the mean over the contrasted rows."""
        first: Embeddings = self.encoder(adjacency=self.first_view)
        second: Embeddings = self.encoder(adjacency=self.second_view)
        users = self._distinct(batch.users, batch.generator)
        items = self._distinct(batch.positive_items, batch.generator)
        return self._between(first.users[users], second.users[users]) + self._between(
            first.items[items], second.items[items]
        )

    def _distinct(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        distinct: Tensor = torch.unique(rows)
        order = torch.randperm(len(distinct), generator=generator, device=rows.device)
        return distinct[order[: self.params.contrast_samples]]

    def _between(self, first: Tensor, second: Tensor) -> Tensor:
        same = torch.arange(len(first), device=first.device)
        return info_nce(first, second, same, self.params.temperature)

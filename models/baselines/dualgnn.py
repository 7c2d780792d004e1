"""DualGNN: a graph per modality, and a graph of users who like the same items."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear, normalize

from models.co_occurrence import co_occurrence
from models.features import mean_ablated, projections, slot
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep, Modality
from models.losses import bpr
from models.params import Count, Layers, Params, Part, UserRows, Weight, user_table, xavier
from models.recommender import Recommender
from models.sparse import SparseMatrix, sample_edges, symmetric_adjacency

_WIDENING = 4


@dataclass(frozen=True)
class DualGNNParams(Params):
    """Parameters of `DualGNN`.

    Args:
        embedding_dim: Width of the vectors.
        num_layers: Propagation layers per modality.
        num_neighbours: Users that a user is joined to, those with most items in common.
        edge_share: Part of the interactions an epoch propagates over, redrawn every epoch.
        reg_weight: Weight of the squared norms of the batch's preferences.
    """

    embedding_dim: Count = 64
    num_layers: Layers = 2
    num_neighbours: Count = 40
    edge_share: Part = 1.0
    reg_weight: Weight = 1e-2


class DualGNN(Recommender):
    """DualGNN of Wang et al. 2021 (IEEE Transactions on Multimedia), for any number of modalities.

    * Per modality m: x^m = n([p_u^m; W_2 LeakyReLU(W_1 f_i^m + b)]), users' preferences above
      projected item features, propagated over the interactions, h^m = sum of A^l x^m, l = 0..L.
    * Users: z_u = sum over m of softmax(w_u)_m h_u^m, the user's own weights of the modalities,
      and their neighbours' by the softmax of the numbers of items in common: z_u + sum a_uv z_v.
    * Items: the sum over m of h_i^m. Score by dot product, BPR.

    Deviates: weights of the modalities pass a softmax in every step, where the released code
    normalises their initial values only; users with fewer neighbours than `num_neighbours` have
    those they have, where the code repeats some at random. Evaluation computes the vectors anew;
    the code scores with those of the last training step.

    Raises:
        ValueError: The inputs hold no modality, or one without features.
    """

    edge_index: Tensor

    def __init__(self, inputs: Inputs, params: DualGNNParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError("DualGNN needs at least one modality with features")
        self.params = params
        dim = params.embedding_dim
        self.projections = projections(inputs, _WIDENING * dim, generator)
        self.outputs, self.preferences, self.weights = (nn.ParameterDict() for _ in range(3))
        for name in map(slot, self.modalities):
            self.outputs[name] = nn.Parameter(xavier((dim, _WIDENING * dim), generator))
            self.preferences[name] = user_table(inputs, dim, generator)
            if len(self.modalities) > 1:
                self.weights[name] = UserRows(torch.zeros(self.num_users))
        self.register_buffer("edge_index", inputs.edge_index, persistent=False)
        self.full = symmetric_adjacency(inputs.edge_index, self.num_users, self.num_items)
        self.pruned: SparseMatrix | None = None
        self.neighbours = _user_graph(inputs, params.num_neighbours)

    def refresh(self, epoch: int, generator: torch.Generator) -> None:  # noqa: ARG002
        """Draw the edges of the epoch."""
        if self.params.edge_share < 1.0:
            edges = sample_edges(self.edge_index, self.params.edge_share, generator)
            self.pruned = symmetric_adjacency(edges, self.num_users, self.num_items)

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Return users fused over modalities and neighbours, and the items' sums."""
        width = self.params.embedding_dim
        adjacency = self.pruned if self.training and self.pruned is not None else self.full
        # All modalities side by side: one propagation.
        layer = torch.cat([self._nodes(modality, keep) for modality in self.modalities], -1)
        total = layer
        for _ in range(self.params.num_layers):
            layer = adjacency(layer)
            total = total + layer
        parts = total.view(len(total), len(self.modalities), width)
        users, items = parts[: self.num_users], parts[self.num_users :]
        if len(self.modalities) > 1:
            users = users * torch.stack(list(self.weights.values()), -1).softmax(-1)[..., None]
        fused = users.sum(1)
        return Embeddings(fused + self.neighbours(fused), items.sum(1))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr` and `reg`."""
        norms = [
            table.index_select(0, batch.users).square().sum() for table in self.preferences.values()
        ]
        reg = torch.stack(norms).sum() / (2 * len(batch.users))
        return {"bpr": bpr(self.embed(), batch), "reg": self.params.reg_weight * reg}

    def _nodes(self, modality: Modality, keep: Keep) -> Tensor:
        """Vectors of users and items in a modality before propagation, [nodes, width]."""
        name = slot(modality)
        items = linear(leaky_relu(self.projections[name](keep)), self.outputs[name])
        users = mean_ablated(self.preferences[name], modality, keep)
        return normalize(torch.cat([users, items]), dim=-1)


def _user_graph(inputs: Inputs, k: int) -> SparseMatrix:
    """Join users to those they have most items in common with, softmax of the counts per row."""
    nearest = co_occurrence(inputs.edge_index, inputs.num_users, inputs.num_items, k)
    counts = nearest.similarities
    joined = counts > 0
    weights = counts.masked_fill(~joined, -torch.inf).softmax(-1)
    rows, places = joined.nonzero(as_tuple=True)
    columns = nearest.indices[rows, places]
    shape = (inputs.num_users, inputs.num_users)
    return SparseMatrix(rows, columns, weights[rows, places], shape)

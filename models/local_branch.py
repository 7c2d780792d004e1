"""Features propagated over the interactions: how content reaches users and their items."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from models.decorrelation import covariance
from models.features import Projection
from models.inputs import ALL, Inputs, Keep, Modality, kept
from models.sparse import mean_aggregation, powers, symmetric_adjacency

# Features up to this many times as wide as the vectors are propagated once and kept.
_WIDEST_KEPT = 4


class LocalBranch(nn.Module, ABC):
    """One modality's features of users and items, [num_nodes, d] with users first.

    X W for items, the mean of their items D_u^-1 R X W for users (LGMRec, Eq. 5; MGNM, Eq. 4-5),
    then K times the adjacency D^-1/2 A D^-1/2; only the last layer is used (LGMRec, Eq. 6; MGNM,
    Eq. 7). Deviates: an item without interactions keeps X W, where the papers leave it zero.
    """

    def __init__(self, projection: Projection, num_users: int) -> None:
        super().__init__()
        self.projection = projection
        self.num_users = num_users

    @abstractmethod
    def forward(self, keep: Keep = ALL, rows: Tensor | None = None) -> Tensor:
        """Return layer K of all nodes, or of the given ones, int64 [n]."""

    @abstractmethod
    def covariances(self) -> list[tuple[Tensor, Tensor]]:
        """Return per layer 1..K the column covariances of users and of items, [d, d] each."""


def local_branch(
    inputs: Inputs,
    modality: Modality,
    embedding_dim: int,
    num_layers: int,
    generator: torch.Generator,
) -> LocalBranch:
    """Build the branch of a modality, whichever way is the cheaper one.

    Args:
        inputs: Training pairs and features.
        modality: Which features.
        embedding_dim: Width d of the result.
        num_layers: Number of layers K.
        generator: Source of the initial W, Xavier-uniform.

    Raises:
        ValueError: The modality has neither features nor categories.
    """
    projection = Projection(inputs, modality, embedding_dim, generator, bias=False)
    features = inputs.features.get(modality)
    if features is not None and features.shape[1] <= _WIDEST_KEPT * embedding_dim:
        return PropagatedFeatures(projection, inputs, num_layers)
    return PropagatedProjection(projection, inputs, num_layers)


class PropagatedProjection(LocalBranch):
    """Projects, then propagates: for features that are wide or categorical."""

    def __init__(self, projection: Projection, inputs: Inputs, num_layers: int) -> None:
        super().__init__(projection, inputs.num_users)
        self.propagation = _Propagation(inputs, num_layers)

    def forward(self, keep: Keep = ALL, rows: Tensor | None = None) -> Tensor:
        """Return layer K of all nodes, or of the given ones, int64 [n]."""
        last: Tensor = self.propagation(self.projection(keep))[-1]
        return last if rows is None else last.index_select(0, rows)

    def covariances(self) -> list[tuple[Tensor, Tensor]]:
        """Return per layer 1..K the column covariances of users and of items, [d, d] each."""
        layers = self.propagation(self.projection())[1:]
        return [
            (covariance(layer[: self.num_users]), covariance(layer[self.num_users :]))
            for layer in layers
        ]


class PropagatedFeatures(LocalBranch):
    """Propagates the features once and projects what is needed, which gives the same.

    Both steps are linear: the branch is P W with a constant P = [D_u^-1 R X; X] propagated K
    times, its covariance W' cov(P) W. A step costs one product with the rows of its batch.
    """

    propagated: Tensor
    coverage: Tensor
    feature_covariances: Tensor

    def __init__(self, projection: Projection, inputs: Inputs, num_layers: int) -> None:
        super().__init__(projection, inputs.num_users)
        propagation = _Propagation(inputs, num_layers)
        layers = propagation(projection.features)
        self.register_buffer("propagated", layers[-1], persistent=False)
        # What K layers make of a constant: the branch of features replaced by their mean.
        ones = torch.ones_like(projection.features[:, :1])
        self.register_buffer("coverage", propagation(ones)[-1], persistent=False)
        users = inputs.num_users
        pairs = [
            torch.stack([covariance(layer[:users]), covariance(layer[users:])]) for layer in layers
        ]
        self.register_buffer("feature_covariances", torch.stack(pairs)[1:], persistent=False)

    def forward(self, keep: Keep = ALL, rows: Tensor | None = None) -> Tensor:
        """Return layer K of all nodes, or of the given ones, int64 [n]."""
        weight = self.projection.weight
        if kept(self.projection.modality, keep):
            source = self.propagated if rows is None else self.propagated.index_select(0, rows)
            return linear(source, weight)
        cover = self.coverage if rows is None else self.coverage.index_select(0, rows)
        return cover * linear(self.projection.features.mean(0), weight)

    def covariances(self) -> list[tuple[Tensor, Tensor]]:
        """Return per layer 1..K the column covariances of users and of items, [d, d] each."""
        weight = self.projection.weight
        pairs = weight @ self.feature_covariances @ weight.T  # [K, 2, d, d]
        return [(pair[0], pair[1]) for pair in pairs]


class _Propagation(nn.Module):
    """Layers 0..K of [D_u^-1 R x; x] for any x [num_items, width]."""

    def __init__(self, inputs: Inputs, num_layers: int) -> None:
        super().__init__()
        sizes = (inputs.num_users, inputs.num_items)
        self.num_layers = num_layers
        self.average = mean_aggregation(inputs.edge_index, *sizes)
        self.adjacency = symmetric_adjacency(inputs.edge_index, *sizes, isolated_keep=True)

    def forward(self, items: Tensor) -> list[Tensor]:
        return powers(self.adjacency, torch.cat([self.average(items), items]), self.num_layers)

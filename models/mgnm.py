"""MGNM: local and global interaction, de-noised features, less redundant layers."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from models.decorrelation import covariance, dynamic_de_redundancy, redundancy
from models.features import Projection, slot
from models.hypergraph import Hypergraph
from models.inputs import ALL, Batch, Inputs, Keep, Modality
from models.local_global import LocalGlobal, LocalGlobalParams, prepared
from models.params import Count, Weight, xavier


@dataclass(frozen=True)
class MGNMParams(LocalGlobalParams):
    """Parameters of `MGNM`: those of `LocalGlobalParams`, and its own.

    Args:
        purifier_factor: Width of the purifier's hidden layer, in multiples of d (Eq. 9).
        linear_purifier: No non-linearity in the purifier, as Eq. 9-10 are written.
        normalised_degrees: Means in place of sums over a user's items in H_u.
        user_hyperedges: Users receive from users, as Eq. 14 is written; otherwise from items.
        ddr_weight: beta of Eq. 26, on the redundancy of the ID layers.
        feature_ddr_weight: delta of Eq. 26, on that of the modalities' layers.
        ddr_rows: Users and items drawn per step to measure the redundancy of ID layers.
    """

    purifier_factor: Count = 4
    linear_purifier: bool = False
    normalised_degrees: bool = False
    user_hyperedges: bool = False
    ddr_weight: Weight = 1e-4
    feature_ddr_weight: Weight = 1e-4
    ddr_rows: Count = 2048


class Purifier(nn.Module):
    """Behaviour-guided purifier of one modality's features and its hyperedges (Eq. 9-11).

    H_i = (e_i * sigmoid(W2 act(W1 x_i + b1) + b2)) T', e_i the item's ID embedding before
    propagation and T [num_hyperedges, d] learned; act is LeakyReLU or, `linear`, the identity.
    """

    def __init__(
        self,
        inputs: Inputs,
        modality: Modality,
        embedding_dim: int,
        num_hyperedges: int,
        generator: torch.Generator,
        *,
        factor: int,
        linear: bool,
    ) -> None:
        super().__init__()
        hidden = factor * embedding_dim
        self.linear = linear
        self.widen = Projection(inputs, modality, hidden, generator)
        self.narrow = nn.Parameter(xavier((embedding_dim, hidden), generator))
        self.bias = nn.Parameter(torch.zeros(embedding_dim))
        self.hyperedges = nn.Parameter(xavier((num_hyperedges, embedding_dim), generator))

    def gate(self, keep: Keep = ALL) -> Tensor:
        """Return what share of every component passes, [num_items, d], between 0 and 1."""
        hidden = self.widen(keep)
        if not self.linear:
            hidden = leaky_relu(hidden)
        return torch.sigmoid(nn.functional.linear(hidden, self.narrow, self.bias))

    def forward(self, items: Tensor, keep: Keep = ALL) -> Tensor:
        """Return H_i, [num_items, num_hyperedges], for ID embeddings `items` [num_items, d]."""
        return (items * self.gate(keep)) @ self.hyperedges.T


class MGNM(LocalGlobal):
    """MGNM of Mo et al., for any number of modalities.

    Mo, Xiao, Song, Gao and Liang: Multimodal Graph Neural Network for Recommendation with
    Dynamic De-redundancy and Modality-Guided Feature De-noisy.

    * Local interaction: LightGCN over IDs, mean of the layers (Eq. 2-3); features averaged for
      users and propagated, last layer, normalised and added (Eq. 4-8).
    * Global interaction: features let a gate pass part of an item's ID embedding, whose affinity
      to learned vectors makes it a member of hyperedges (`Purifier`, Eq. 9-11); users follow
      from their items, H_u = R H_i (Eq. 12); IDs are propagated over them (Eq. 13-15).
    * E* = E_local + alpha n(sum_m E_global) (Eq. 17). BPR (Eq. 19), contrast of every two
      modalities' global vectors (Eq. 16), and dynamic de-redundancy: the correlation between
      columns of every layer, apart for users and items, of IDs and of modalities (Eq. 20-26).

    Where the paper does not fit together the reading is LGMRec's, whose skeleton it is: T has
    width d, H_u = R H_i, incidences are softmaxes, each normalised term is added as such.
    Deviates: DDR measures layers 1..L with constant mu, those of IDs on sampled rows; a
    LeakyReLU between Eq. 9 and 10; users receive from items (Eq. 14); contrast within the batch,
    means in place of sums; L2 on the batch's ID embeddings. Switches restore what is written.

    Raises:
        ValueError: The inputs hold no modality, or one without features or categories.
    """

    def __init__(self, inputs: Inputs, params: MGNMParams, generator: torch.Generator) -> None:
        inputs = prepared(inputs, params)
        hypergraph = Hypergraph(
            inputs,
            params.num_hyper_layers,
            params.gumbel_temperature,
            params.keep_share,
            normalised=params.normalised_degrees,
            own_users=params.user_hyperedges,
        )
        super().__init__(inputs, params, generator, hypergraph)
        self.params = params
        self.purifiers = nn.ModuleDict(
            {
                slot(modality): Purifier(
                    inputs,
                    modality,
                    params.embedding_dim,
                    params.num_hyperedges,
                    generator,
                    factor=params.purifier_factor,
                    linear=params.linear_purifier,
                )
                for modality in self.modalities
            }
        )

    def affinities(self, keep: Keep = ALL) -> list[Tensor]:
        """Eq. 9-11: per modality H_i, [num_items, num_hyperedges]."""
        items = self.encoder.items
        return [self.purifiers[slot(modality)](items, keep) for modality in self.modalities]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of Eq. 26: those of the base, `ddr` and `feature_ddr`."""
        step, params = self._step(batch), self.params
        terms = dict(step.terms)
        if params.num_layers and params.ddr_weight > 0.0:
            terms["ddr"] = params.ddr_weight * self._id_ddr(step.layers[1:], batch.generator)
        if params.num_feature_layers and params.feature_ddr_weight > 0.0:
            by_modality = [
                _ddr(self._local(modality).covariances()) for modality in self.modalities
            ]
            terms["feature_ddr"] = params.feature_ddr_weight * torch.stack(by_modality).sum()
        return terms

    def _id_ddr(self, layers: list[Tensor], generator: torch.Generator) -> Tensor:
        sizes = (self.num_users, self.num_items)
        device = self.encoder.items.device
        users, items = (
            torch.randperm(size, generator=generator, device=device)[: self.params.ddr_rows]
            for size in sizes
        )
        items = items + self.num_users
        return _ddr(
            [
                (covariance(layer.index_select(0, users)), covariance(layer.index_select(0, items)))
                for layer in layers
            ]
        )


def _ddr(layers: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Eq. 23 of layers 1..L, given the covariances of their users and items."""
    stacked = torch.stack([torch.stack(pair) for pair in layers])  # [L, 2, d, d]
    return dynamic_de_redundancy(redundancy(stacked))

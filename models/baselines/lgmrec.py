"""LGMRec: local neighbourhoods and global hyperedges for multimodal recommendation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.features import projections, slot
from models.hypergraph import Hypergraph
from models.inputs import ALL, Inputs, Keep
from models.local_global import LocalGlobal, LocalGlobalParams, prepared


@dataclass(frozen=True)
class LGMRecParams(LocalGlobalParams):
    """Parameters of `LGMRec`: those of `LocalGlobalParams`."""


class LGMRec(LocalGlobal):
    """LGMRec of Guo et al. 2024 (AAAI), arXiv:2312.16400, for any number of modalities.

    * Local: LightGCN over IDs, mean of the layers (Eq. 1-2); features averaged for users and
      propagated, last layer, normalised and added (Eq. 3-6).
    * Global: an item belongs to hyperedges by its features, H_i = X V', a user by their items,
      H_u = R H_i (Eq. 7-8), with Gumbel-softmax (Eq. 9); IDs are propagated over them (Eq. 10).
    * E* = E_local + alpha n(sum_m E_global) (Eq. 12-13), BPR, contrast of the modalities' global
      vectors (Eq. 11).

    Deviates: contrast within the batch, means in place of sums; squared norms of the batch's ID
    embeddings, where the authors' code takes norms of final vectors; no noise in evaluation
    (`Hypergraph`); an item without interactions keeps its features (`LocalBranch`).

    Raises:
        ValueError: The inputs hold no modality, or one without features or categories.
    """

    def __init__(self, inputs: Inputs, params: LGMRecParams, generator: torch.Generator) -> None:
        inputs = prepared(inputs, params)
        hypergraph = Hypergraph(
            inputs, params.num_hyper_layers, params.gumbel_temperature, params.keep_share
        )
        super().__init__(inputs, params, generator, hypergraph)
        self.params = params
        self.prototypes = projections(inputs, params.num_hyperedges, generator, bias=False)

    def affinities(self, keep: Keep = ALL) -> list[Tensor]:
        """Return per modality X V', [num_items, num_hyperedges]."""
        return [self.prototypes[slot(modality)](keep) for modality in self.modalities]

"""FREEDOM: a frozen item graph beside a denoised interaction graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.cold_items import ColdItems
from models.encoders import Encoder
from models.features import Projection, projections, slot
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep, Modality
from models.item_graph import FusedGraph, unweighted_item_graph
from models.losses import batch_rows, bpr, squared_norm
from models.params import Count, Layers, Params, Part, Weight
from models.recommender import Recommender


@dataclass(frozen=True)
class FREEDOMParams(Params):
    """Parameters of `FREEDOM`.

    Args:
        embedding_dim: Width of all vectors.
        num_layers: Propagation layers over the interactions.
        num_item_layers: Propagation layers over the item graph.
        k: Neighbours per item.
        modality_weights: Relative weight of a modality's graph in the item graph, by name; one
            that is not named has 1. They are divided by their sum over the modalities in use;
            names of others are passed over, so that a run on fewer modalities keeps them.
        edge_share: Part of the interactions an epoch propagates over, redrawn every epoch.
        feature_weight: Weight of the loss on projected features, per modality.
        reg_weight: Weight of the squared norms of the batch's ID embeddings.
    """

    embedding_dim: Count = 64
    num_layers: Layers = 2
    num_item_layers: Layers = 1
    k: Count = 10
    modality_weights: Mapping[Modality, Weight] = field(default_factory=dict)
    edge_share: Part = 0.2
    feature_weight: Weight = 1e-3
    reg_weight: Weight = 1e-3


class FREEDOM(Recommender):
    """FREEDOM of Zhou and Shen 2023 (MM), arXiv:2211.06924, for any number of modalities.

    * Section 3.1: S = sum_m w_m D^-1/2 S_m D^-1/2 with S_m = 1 from an item to its k nearest,
      never changed. The item IDs are propagated over it, h = S^L x_i.
    * Section 3.2: each epoch propagates over a share of the interactions, drawn with probability
      proportional to 1 / sqrt(deg(u) deg(i)); evaluation uses all (`Encoder`, `sample_edges`).
    * Section 3.3: the LightGCN vectors of users x~_u and items x~_i give the score
      x~_u . (x~_i + h_i). The loss is BPR on it plus, per modality, `feature_weight` times BPR
      on x~_u . W_m e_i, the projected features.

    Deviates: the features are not trained, which the authors' code does; W has no bias, which
    cancels in a difference of two items; the squared norms of the batch's ID embeddings are
    added to the loss, which the paper does not have and sparse data need; x~ of an item without
    interactions is its neighbours', see `ColdItems`.

    Raises:
        ValueError: The inputs hold no modality, features are missing, or no modality in use has
            a weight above 0.
    """

    shares: Tensor

    def __init__(self, inputs: Inputs, params: FREEDOMParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError("FREEDOM needs at least one modality with features")
        self.params = params
        weights = torch.tensor([params.modality_weights.get(m, 1.0) for m in self.modalities])
        if not bool(weights.any()):
            raise ValueError(f"modality_weights are all 0 for {', '.join(self.modalities)}")
        self.register_buffer("shares", normalize(weights, p=1.0, dim=0), persistent=False)
        self.encoder = Encoder(
            inputs,
            "lightgcn",
            params.embedding_dim,
            params.num_layers,
            generator,
            edge_share=params.edge_share,
        )
        self.projections = projections(inputs, params.embedding_dim, generator, bias=False)
        self.cold_items = ColdItems(inputs)
        self.item_graph = FusedGraph(
            {m: unweighted_item_graph(inputs, m, params.k) for m in self.modalities}
        )

    def refresh(self, epoch: int, generator: torch.Generator) -> None:  # noqa: ARG002
        """Draw the interactions of the epoch."""
        self.encoder.refresh(generator)

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Section 3.3: x~_u for users, x~_i + h_i for items."""
        collaborative: Embeddings = self.encoder()
        hidden: Tensor = self.encoder.items
        for _ in range(self.params.num_item_layers):
            hidden = self.item_graph(hidden, self.shares, keep)
        items = self.cold_items(collaborative.items, self.item_graph.kept(keep))
        return Embeddings(collaborative.users, items + hidden)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr`, `features` and `reg`."""
        params = self.params
        vectors, rows = batch_rows(self.embed(), batch)
        items = torch.cat([batch.positive_items, batch.negative_items.flatten()])
        by_modality = [
            bpr(Embeddings(vectors.users, self._projection(modality).of(items)), rows)
            for modality in self.modalities
        ]
        tables, _ = batch_rows(Embeddings(self.encoder.users, self.encoder.items), batch)
        return {
            "bpr": bpr(vectors, rows),
            "features": params.feature_weight * torch.stack(by_modality).sum(),
            "reg": params.reg_weight * squared_norm(tables),
        }

    def _projection(self, modality: Modality) -> Projection:
        found = self.projections[slot(modality)]
        assert isinstance(found, Projection)
        return found

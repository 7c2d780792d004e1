"""LATTICE: latent structure mining, one learned item graph beside a collaborative encoder."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.cold_items import ColdItems
from models.encoders import Adjacency, Backbone, Encoder
from models.features import slot
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep
from models.item_graph import FusedGraph, learned_graph
from models.losses import batch_rows, bpr, squared_norm
from models.params import Count, Layers, Params, Part, Share, Weight
from models.recommender import Recommender


@dataclass(frozen=True)
class LATTICEParams(Params):
    """Parameters of `LATTICE`.

    Args:
        embedding_dim: Width of all vectors.
        backbone: Collaborative encoder that the item vectors are added to.
        num_layers: Propagation layers of the backbone.
        adjacency: Normalisation of the interaction graph; the authors' code walks randomly.
        edge_share: Part of the interactions an epoch propagates over, redrawn every epoch.
        num_item_layers: Propagation layers over the item graph, Eq. 7.
        k: Neighbours per item, Eq. 2.
        skip: Share lambda of the initial graphs, Eq. 5; 1 freezes them.
        rebuild_every: Epochs between two rebuilds of the learned graphs.
        reg_weight: Weight of the squared norms of the batch's final vectors.
    """

    embedding_dim: Count = 64
    backbone: Backbone = "lightgcn"
    num_layers: Layers = 2
    adjacency: Adjacency = "symmetric"
    edge_share: Part = 1.0
    num_item_layers: Layers = 1
    k: Count = 10
    skip: Share = 0.7
    rebuild_every: Count = 10
    reg_weight: Weight = 1e-3


class LATTICE(Recommender):
    """LATTICE of Zhang et al. 2021 (MM), arXiv:2104.09036, for any number of modalities.

    Per modality a graph A_m over raw and transformed features (Eq. 1-5, `LearnedGraph`), their
    sum A = sum_m alpha_m A_m with alpha a softmax of learned weights (Eq. 6), propagation of the
    item IDs h = A^L x_i (Eq. 7), added to the collaborative vectors x~ of the items:
    x^_i = x~_i + h_i / |h_i| (Eq. 8), score x~_u . x^_i (Eq. 9), BPR (Eq. 10).

    Deviates: the learned graphs as in `LearnedGraph`; negative similarities count as 0; features
    are not trained, which the authors' code does; each learned graph is normalised before the
    graphs are summed, as the paper has it, where the authors' code sums first; x~ of an item
    without interactions is its neighbours', see `ColdItems`.

    Raises:
        ValueError: The inputs hold no modality, or one has too few neighbours and no features.
    """

    def __init__(self, inputs: Inputs, params: LATTICEParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError("LATTICE needs at least one modality with features or neighbours")
        self.params = params
        self.encoder = Encoder(
            inputs,
            params.backbone,
            params.embedding_dim,
            params.num_layers,
            generator,
            adjacency=params.adjacency,
            edge_share=params.edge_share,
        )
        self.cold_items = ColdItems(inputs)
        self.learned = {
            modality: learned_graph(
                inputs,
                modality,
                params.k,
                skip=params.skip,
                embedding_dim=params.embedding_dim,
                generator=generator,
            )
            for modality in self.modalities
        }
        self.item_graph = FusedGraph(self.learned)
        self.importance = nn.ParameterDict({slot(m): torch.zeros(()) for m in self.modalities})

    def refresh(self, epoch: int, generator: torch.Generator) -> None:
        """Draw the epoch's interactions; rebuild the learned graphs when it is their turn."""
        self.encoder.refresh(generator)
        if epoch and epoch % self.params.rebuild_every == 0:
            for graph in self.learned.values():
                graph.rebuild()

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Eq. 8-9: x~ for users, x~ + h / |h| for items."""
        collaborative: Embeddings = self.encoder()
        hidden: Tensor = self.encoder.items
        importance = torch.stack([self.importance[slot(m)] for m in self.modalities]).softmax(0)
        for _ in range(self.params.num_item_layers):
            hidden = self.item_graph(hidden, importance, keep)
        items = self.cold_items(collaborative.items, self.item_graph.kept(keep))
        return Embeddings(collaborative.users, items + normalize(hidden, dim=-1))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr` and `reg` of Eq. 10."""
        vectors, rows = batch_rows(self.embed(), batch)
        return {
            "bpr": bpr(vectors, rows),
            "reg": self.params.reg_weight * squared_norm(vectors),
        }

"""MICRO: latent structure mining with contrastive modality fusion."""

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.cold_items import ColdItems
from models.encoders import Adjacency, Backbone, Encoder
from models.features import projections, slot
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep, kept
from models.item_graph import LearnedGraph, learned_graph
from models.losses import bpr, l2
from models.params import Count, Layers, Params, Part, Positive, Share, Weight, xavier
from models.recommender import Recommender
from models.sparse import mean_aggregation


@dataclass(frozen=True)
class MICROParams(Params):
    """Parameters of `MICRO`; the last five switch off its parts (Table 5 of the paper).

    Args:
        embedding_dim: Width d of all vectors.
        backbone: Collaborative encoder that the item vectors are added to.
        num_layers: Propagation layers of the backbone.
        adjacency: Normalisation of the interaction graph; the authors' code walks randomly.
        edge_share: Part of the interactions an epoch propagates over, redrawn every epoch.
        num_item_layers: Propagation layers L over the item graphs, Eq. 6.
        k: Neighbours per item, Eq. 2.
        skip: Share lambda of the initial graph, Eq. 5; 1 freezes the graphs.
        rebuild_every: Epochs between two rebuilds of the learned graphs.
        contrast_weight: beta_C of Eq. 19, on the mean over items and modalities.
        contrast_samples: Items drawn per step for Eq. 9-10, anchors and negatives alike.
        temperature: tau of Eq. 10.
        orthogonality_weight: beta_S of Eq. 19.
        reg_weight: Weight of the squared norms of the batch's final vectors.
        item_graph: Propagate over item graphs; off is "CF + feats".
        item_input: What the item graphs propagate; features is "MICRO / feats".
        fusion: Fuse per item with contrast; off is "w/o fusion", like `LATTICE`.
        specific: Add modality-specific vectors, Eq. 11-15; off is "w/o specific".
        user_preference: Add h_u to users, Eq. 16; off is "w/o preference".
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
    contrast_weight: Weight = 0.6
    contrast_samples: Count = 512
    temperature: Positive = 0.5
    orthogonality_weight: Weight = 0.01
    reg_weight: Weight = 1e-3
    item_graph: bool = True
    item_input: Literal["id", "features"] = "id"
    fusion: bool = True
    specific: bool = True
    user_preference: bool = True


@dataclass(frozen=True)
class _Fused:
    """Item vectors h per modality, their common part h_c, their specific parts, and the sum h."""

    per_modality: list[Tensor]
    common: Tensor
    specific: list[Tensor]
    items: Tensor


class MICRO(Recommender):
    """MICRO of Zhang et al. 2022 (TKDE), arXiv:2111.00678, for any number of modalities.

    Per modality an item graph (Eq. 1-5), propagation of the item IDs over it (Eq. 6), attentive
    fusion into a common part (Eq. 7-8) kept close by contrast (Eq. 9-10), specific parts
    (Eq. 11-15), user preference (Eq. 16), score (Eq. 17), loss (Eq. 19). Deviations, each from
    the released code or forced by it: Eq. 9-10 get the logarithm they lack; the contrast runs
    over a sample of items, its negatives scaled to the catalogue; Eq. 13 runs over all pairs of
    modalities; negative similarities count as 0; features are not trained.

    Raises:
        ValueError: The inputs hold no modality, or features that a switch needs are missing.
    """

    def __init__(self, inputs: Inputs, params: MICROParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError("MICRO needs at least one modality with features or neighbours")
        if params.item_input not in ("id", "features"):
            raise ValueError(f'item_input is "id" or "features", got "{params.item_input}"')
        self.params = params
        dim = params.embedding_dim
        self.encoder = Encoder(
            inputs,
            params.backbone,
            dim,
            params.num_layers,
            generator,
            adjacency=params.adjacency,
            edge_share=params.edge_share,
        )
        self.cold_items = ColdItems(inputs)
        self.projections = nn.ModuleDict()
        if not params.item_graph or params.item_input == "features":
            self.projections = projections(inputs, dim, generator)
        self.graphs = nn.ModuleDict()
        if params.item_graph:
            for modality in self.modalities:
                self.graphs[slot(modality)] = learned_graph(
                    inputs,
                    modality,
                    params.k,
                    skip=params.skip,
                    embedding_dim=dim,
                    generator=generator,
                )
        if params.fusion:
            self.attention = nn.Linear(dim, dim)
            self.attention.weight.data = xavier((dim, dim), generator)
            nn.init.zeros_(self.attention.bias)
            self.common_query = nn.Parameter(xavier((1, dim), generator)[0])
            if params.specific and len(self.modalities) > 1:
                self.specific_query = nn.Parameter(xavier((1, dim), generator)[0])
        else:
            self.modality_weights = nn.Parameter(torch.zeros(len(self.modalities)))
        if params.user_preference:
            self.interactions = mean_aggregation(inputs.edge_index, self.num_users, self.num_items)

    def refresh(self, epoch: int, generator: torch.Generator) -> None:
        """Draw the epoch's interactions; rebuild the learned graphs when it is their turn."""
        self.encoder.refresh(generator)
        if epoch and epoch % self.params.rebuild_every == 0:
            for graph in self.graphs.values():
                assert isinstance(graph, LearnedGraph)
                graph.rebuild()

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Eq. 17: x + normalised h for users and items.

        Deviates for items without interactions: their x is the mean of their neighbours', see
        `ColdItems`; their own has not been trained.
        """
        collaborative: Embeddings = self.encoder()
        fused = self._fuse(keep)
        users = collaborative.users
        if self.params.user_preference:
            users = users + normalize(self.interactions(fused.items), dim=-1)
        graphs = [self.graphs[slot(m)] for m in self.modalities if kept(m, keep) and self.graphs]
        items = self.cold_items(collaborative.items, graphs)
        return Embeddings(users, items + normalize(fused.items, dim=-1))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr`, `contrast`, `orthogonality` and `reg` of Eq. 19."""
        params = self.params
        fused = self._fuse(ALL)
        vectors, rows = self._batch_vectors(fused, batch)
        terms = {
            "bpr": bpr(vectors, rows),
            "reg": params.reg_weight * l2((vectors.users, vectors.items), rows),
        }
        if params.fusion and len(self.modalities) > 1:
            terms["contrast"] = params.contrast_weight * self._contrast(fused, batch.generator)
            if params.specific:
                terms["orthogonality"] = params.orthogonality_weight * _orthogonality(fused)
        return terms

    def _batch_vectors(self, fused: _Fused, batch: Batch) -> tuple[Embeddings, Batch]:
        """Eq. 17 for the batch's rows only, and the batch with rows into those vectors."""
        collaborative: Embeddings = self.encoder()
        users = collaborative.users[batch.users]
        if self.params.user_preference:
            preference = self.interactions(fused.items)[batch.users]
            users = users + normalize(preference, dim=-1)
        chosen = torch.cat([batch.positive_items, batch.negative_items.flatten()])
        items = collaborative.items[chosen] + normalize(fused.items[chosen], dim=-1)
        size = len(batch.users)
        numbers = torch.arange(len(chosen), device=chosen.device)
        negatives = numbers[size:].view(batch.negative_items.shape)
        rows = Batch(numbers[:size], numbers[:size], negatives, batch.generator)
        return Embeddings(users, items), rows

    def _item_vectors(self, modality: str, keep: Keep) -> Tensor:
        name = slot(modality)
        hidden: Tensor = self.encoder.items
        if name in self.projections:
            hidden = self.projections[name](keep)
        if kept(modality, keep) and name in self.graphs:
            for _ in range(self.params.num_item_layers):
                hidden = self.graphs[name](hidden)
        return hidden

    def _fuse(self, keep: Keep) -> _Fused:
        per_modality = [self._item_vectors(modality, keep) for modality in self.modalities]
        stacked = torch.stack(per_modality)  # [modalities, num_items, dim]
        if not self.params.fusion:
            common = torch.einsum("m,mid->id", self.modality_weights.softmax(0), stacked)
            return _Fused(per_modality, common, [], common)
        logits = torch.tanh(self.attention(stacked)) @ self.common_query  # [modalities, num_items]
        common = (logits.softmax(0)[..., None] * stacked).sum(0)
        if not self.params.specific or len(per_modality) == 1:
            return _Fused(per_modality, common, [], common)
        specific = [hidden - common for hidden in per_modality]
        parts = torch.stack([common, *specific])  # [1 + modalities, num_items, dim]
        weights = (parts @ self.specific_query).softmax(0)
        return _Fused(per_modality, common, specific, (weights[..., None] * parts).sum(0))

    def _contrast(self, fused: _Fused, generator: torch.Generator) -> Tensor:
        """InfoNCE of Eq. 9-10 over a uniform sample of items."""
        count = min(self.params.contrast_samples, self.num_items)
        device = fused.common.device
        rows = torch.randperm(self.num_items, generator=generator, device=device)[:count]
        shared = normalize(fused.common[rows], dim=-1)
        # log of how many items of the catalogue each sampled negative stands for
        share = torch.tensor((self.num_items - 1) / max(count - 1, 1), device=device).log()
        self_mask = torch.zeros(count, count, device=device).fill_diagonal_(-torch.inf) + share
        terms = []
        for hidden in fused.per_modality:
            own = normalize(hidden[rows], dim=-1)
            between = own @ shared.T / self.params.temperature
            within = own @ own.T / self.params.temperature
            positive = between.diagonal()
            negatives = torch.logaddexp(
                (between + self_mask).logsumexp(-1), (within + self_mask).logsumexp(-1)
            )
            terms.append((torch.logaddexp(positive, negatives) - positive).mean())
        return torch.stack(terms).mean()


def _orthogonality(fused: _Fused) -> Tensor:
    """Eq. 13: the squared dot products of the specific parts, for every pair of modalities."""
    pairs = [
        (first * second).sum(-1).square().mean()
        for first, second in combinations(fused.specific, 2)
    ]
    return torch.stack(pairs).sum()

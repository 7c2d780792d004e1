"""MGCN: features purified by behaviour, spread in separate views, fused by behaviour."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.cold_items import ColdItems
from models.encoders import Encoder
from models.features import projections, slot
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep, kept
from models.item_graph import item_graph
from models.losses import batch_rows, bpr, info_nce, squared_norm
from models.params import Count, Layers, Params, Part, Positive, Weight, xavier
from models.recommender import Recommender
from models.sparse import symmetric_aggregation


@dataclass(frozen=True)
class MGCNParams(Params):
    """Parameters of `MGCN`.

    Args:
        embedding_dim: Width of all vectors.
        num_layers: Propagation layers of the user-item view, Eq. 3-5.
        edge_share: Part of the interactions an epoch propagates over in that view, redrawn
            every epoch; the paper uses all.
        num_item_layers: Propagation layers of the item-item views, Eq. 9.
        k: Neighbours per item, Eq. 7.
        contrast_weight: Weight of the self-supervised task in Eq. 19.
        contrast_samples: Pairs of the batch that Eq. 16 is computed for in a step, at most.
        temperature: tau of Eq. 16.
        reg_weight: Weight of the squared norms of the batch's final vectors.
    """

    embedding_dim: Count = 64
    num_layers: Layers = 2
    edge_share: Part = 1.0
    num_item_layers: Layers = 1
    k: Count = 10
    contrast_weight: Weight = 1e-2
    contrast_samples: Count = 512
    temperature: Positive = 0.2
    reg_weight: Weight = 1e-3


@dataclass(frozen=True)
class _Views:
    """Vectors of the two kinds of views before they are fused.

    `behaviour` is the user-item view, width d; `content` holds the vectors of all modalities
    side by side, width modalities * d.
    """

    behaviour: Embeddings
    content: Embeddings


class MGCN(Recommender):
    """MGCN of Yu et al. 2023 (MM), arXiv:2308.03588, for any number of modalities.

    * Behaviour-guided purifier (Eq. 1-2): x_i * sigma(W2 (W1 e_i + b1) + b2), x_i the item ID.
    * Multi-view encoder: LightGCN over IDs (Eq. 3-5); per modality the purified vectors over the
      frozen graph of nearest items (Eq. 6-9), gathered by users with D_u^-1/2 R D_i^-1/2 (Eq. 10).
    * Behaviour-aware fuser (Eq. 11-15): attention q . tanh(W e + b) gives the part E_c that
      modalities share; what is left of each is gated by sigma(W3 E_id + b3). The fused vector is
      (E_c + sum_m gated_m) / (1 + modalities), averaged as in the authors' code.
    * Score from E_id + fused (Eq. 17-18). Loss: BPR, an InfoNCE that pulls fused and behaviour
      vectors of one user or item together (Eq. 16), squared norms (Eq. 19).

    Deviates: features are not trained, which the authors' code does; Eq. 16 is computed for a
    part of the batch's pairs, and its candidates are the distinct users and items of the batch,
    so that a row is no negative of itself; negative similarities count as 0; the behaviour of an
    item without interactions is its neighbours', see `ColdItems`.

    Raises:
        ValueError: The inputs hold no modality, or features are missing.
    """

    def __init__(self, inputs: Inputs, params: MGCNParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError("MGCN needs at least one modality with features")
        self.params = params
        dim = params.embedding_dim
        self.encoder = Encoder(
            inputs, "lightgcn", dim, params.num_layers, generator, edge_share=params.edge_share
        )
        self.projections = projections(inputs, dim, generator)
        slots = [slot(modality) for modality in self.modalities]
        self.purifiers = nn.ModuleDict({name: _square(dim, generator) for name in slots})
        self.cold_items = ColdItems(inputs)
        self.graphs = nn.ModuleDict(
            {slot(m): item_graph(inputs, m, params.k) for m in self.modalities}
        )
        self.interactions = symmetric_aggregation(inputs.edge_index, self.num_users, self.num_items)
        self.attention = _square(dim, generator)
        self.query = nn.Parameter(xavier((1, dim), generator)[0])
        self.preferences = nn.ModuleDict({name: _square(dim, generator) for name in slots})

    def refresh(self, epoch: int, generator: torch.Generator) -> None:  # noqa: ARG002
        """Draw the interactions of the epoch."""
        self.encoder.refresh(generator)

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Eq. 17: behaviour + fused content for users and items."""
        views = self._views(keep)
        graphs = [self.graphs[slot(m)] for m in self.modalities if kept(m, keep)]
        items = self.cold_items(views.behaviour.items, graphs)
        return Embeddings(
            views.behaviour.users + self._fuse(views.content.users, views.behaviour.users),
            items + self._fuse(views.content.items, items),
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr`, `contrast` and `reg` of Eq. 19."""
        params = self.params
        views = self._views(ALL)
        behaviour, rows = batch_rows(views.behaviour, batch)
        content, _ = batch_rows(views.content, batch)
        side = Embeddings(
            self._fuse(content.users, behaviour.users), self._fuse(content.items, behaviour.items)
        )
        vectors = Embeddings(behaviour.users + side.users, behaviour.items + side.items)
        contrast = self._contrast(side.users, views.behaviour.users, batch.users)
        contrast = contrast + self._contrast(
            side.items, views.behaviour.items, batch.positive_items
        )
        return {
            "bpr": bpr(vectors, rows),
            "contrast": params.contrast_weight * contrast,
            "reg": params.reg_weight * squared_norm(vectors),
        }

    def _views(self, keep: Keep) -> _Views:
        behaviour: Embeddings = self.encoder()
        spread = []
        for modality in self.modalities:
            name = slot(modality)
            gate = torch.sigmoid(self.purifiers[name](self.projections[name](keep)))
            hidden = self.encoder.items * gate
            if kept(modality, keep):
                for _ in range(self.params.num_item_layers):
                    hidden = self.graphs[name](hidden)
            spread.append(hidden)
        items = torch.cat(spread, dim=-1)  # [num_items, modalities * dim]
        return _Views(behaviour, Embeddings(self.interactions(items), items))

    def _fuse(self, content: Tensor, behaviour: Tensor) -> Tensor:
        """Eq. 11-15 of some rows: content [n, modalities * dim], behaviour [n, dim]."""
        count = len(self.modalities)
        parts = content.view(len(content), count, -1)
        weights = (torch.tanh(self.attention(parts)) @ self.query).softmax(-1)  # [n, modalities]
        common = torch.einsum("nm,nmd->nd", weights, parts)
        gates = torch.stack(
            [torch.sigmoid(self.preferences[slot(m)](behaviour)) for m in self.modalities], dim=1
        )
        specific = (gates * (parts - common[:, None])).sum(1)
        return (common + specific) / (1 + count)

    def _contrast(self, side: Tensor, behaviour: Tensor, rows: Tensor) -> Tensor:
        """InfoNCE of Eq. 16, the fused vectors of a batch's first pairs against its behaviour.

        A batch is in random order, so its first pairs are a fair sample.

        Args:
            side: Fused vectors [at least batch, dim], in the order of `rows`.
            behaviour: Vectors of everyone [num_users or num_items, dim].
            rows: The users or positive items of the batch, int64 [batch].
        """
        distinct, places = rows.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        count = min(self.params.contrast_samples, len(rows))
        return info_nce(side[:count], behaviour[distinct], places[:count], self.params.temperature)


def _square(dim: int, generator: torch.Generator) -> nn.Linear:
    layer = nn.Linear(dim, dim)
    layer.weight.data = xavier((dim, dim), generator)
    nn.init.zeros_(layer.bias)
    return layer

"""GRCN: the interaction graph, its edges weighted by how content fits a user's prototype."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, logsigmoid, normalize, softplus

from models.edge_graph import EdgeGraph
from models.features import mean_ablated, projections, slot
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep, Modality
from models.losses import l2, margins
from models.params import (
    Count,
    ItemRows,
    Layers,
    Params,
    Part,
    UserRows,
    Weight,
    item_table,
    user_table,
)
from models.recommender import Recommender
from models.sparse import sample_edges

_NEUTRAL = 0.5413248546129181
"""softplus of it is 1: a node that neither trusts nor distrusts a modality."""
_TINY = 1e-12


@dataclass(frozen=True)
class GRCNParams(Params):
    """Parameters of `GRCN`.

    Args:
        embedding_dim: Width of each part of a vector; a vector is [ID | modality | ...].
        num_routings: Rounds in which a user's prototype moves to the items it fits.
        num_layers: Propagation layers of the ID embeddings over the refined graph.
        edge_share: Part of the interactions an epoch trains on, redrawn every epoch.
        unit_features: Divide dense features by their norm before they are projected; a deviation.
        reg_weight: Weight of the squared norms of the batch's ID embeddings and preferences.
    """

    embedding_dim: Count = 64
    num_routings: Layers = 3
    num_layers: Layers = 2
    edge_share: Part = 1.0
    unit_features: bool = False
    reg_weight: Weight = 1e-2


class _Refined(nn.Module):
    """Interactions in both directions; weights are given per direction."""

    def __init__(self, edge_index: Tensor, num_users: int, num_items: int) -> None:
        super().__init__()
        users, items = edge_index
        self.to_users = EdgeGraph(items, users, num_items, num_users)
        self.to_items = EdgeGraph(users, items, num_users, num_items)


@dataclass(frozen=True)
class _Content:
    """One modality's vectors and the affinities of the edges to users and to items."""

    vectors: Embeddings
    to_users: Tensor
    to_items: Tensor


class GRCN(Recommender):
    """GRCN of Wei et al. 2020, arXiv:2111.02036, for any number of modalities.

    * Prototypical network, per modality m: item features v_i = n(LeakyReLU(W f_i + b)), user
      preference p_u; in each round p_u <- n(p_u + sum_i s_ui v_i) with s_ui the softmax of
      p_u . v_i over the user's items. A last round in both directions gives affinities
      s_(v<-j) and the content vectors p_u + sum s v and v_i + sum s p.
    * Refining: the weight of an edge is max over m of c_j^m s^m_(v<-j), c_j^m >= 0 being the
      confidence of its source j in the modality.
    * Graph convolution: unit ID embeddings x, x^(l+1)_v = sum_j w_(v<-j) x^l_j, the sum of the
      layers. A vector is [ID | content of each modality], so scores add.

    Deviates: c = softplus of a parameter that starts at c = 1, where the paper prunes by a ReLU;
    an edge whose confidence has become negative would have no gradient any more and be gone for
    ever. Rounds move the users, as the paper says; the released code sends the rounds' messages
    to the items and drops them, so that its users never move.

    Raises:
        ValueError: The inputs hold no modality, or one without features.
    """

    edge_index: Tensor

    def __init__(self, inputs: Inputs, params: GRCNParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError("GRCN needs at least one modality with features")
        self.params = params
        dim = params.embedding_dim
        self.users = user_table(inputs, dim, generator)
        self.items = item_table(inputs, dim, generator)
        self.projections = projections(inputs, dim, generator, unit=params.unit_features)
        self.preferences, self.user_trust, self.item_trust = (nn.ParameterDict() for _ in range(3))
        for name in map(slot, self.modalities):
            self.preferences[name] = user_table(inputs, dim, generator)
            self.user_trust[name] = UserRows(torch.full((self.num_users,), _NEUTRAL))
            self.item_trust[name] = ItemRows(torch.full((self.num_items,), _NEUTRAL))
        self.register_buffer("edge_index", inputs.edge_index, persistent=False)
        self.full = _Refined(inputs.edge_index, self.num_users, self.num_items)
        self.pruned: _Refined | None = None

    def refresh(self, epoch: int, generator: torch.Generator) -> None:  # noqa: ARG002
        """Draw the edges of the epoch."""
        if self.params.edge_share < 1.0:
            edges = sample_edges(self.edge_index, self.params.edge_share, generator)
            self.pruned = _Refined(edges, self.num_users, self.num_items)

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Return the components side by side, [rows, (1 + modalities) * embedding_dim]."""
        parts = self.components(keep)
        return Embeddings(
            torch.cat([part.users for part in parts], -1),
            torch.cat([part.items for part in parts], -1),
        )

    def components(self, keep: Keep = ALL) -> list[Embeddings]:
        """Return the ID part over the refined graph, then the content part of each modality.

        Mean features give every item of a user the same affinity: a modality that is not kept
        refines nothing.
        """
        graph = self.pruned if self.training and self.pruned is not None else self.full
        contents = [self._content(graph, modality, keep) for modality in self.modalities]
        return [self._collaborative(graph, contents), *(c.vectors for c in contents)]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr` and `reg`."""
        norms = l2((self.users, self.items), batch)
        for preference in self.preferences.values():
            rows = preference.index_select(0, batch.users)
            norms = norms + rows.square().sum() / (2 * len(rows))
        # The score is the sum of the components'; joining them for all rows would cost more.
        margin = torch.stack([margins(part, batch) for part in self.components()]).sum(0)
        return {"bpr": -logsigmoid(margin).mean(), "reg": self.params.reg_weight * norms}

    def _content(self, graph: _Refined, modality: Modality, keep: Keep) -> _Content:
        name = slot(modality)
        items = normalize(leaky_relu(self.projections[name](keep)), dim=-1)
        preference = mean_ablated(self.preferences[name], modality, keep)
        to_users, to_items = graph.to_users, graph.to_items
        users = self._prototypes(to_users, preference, items)
        of_users = to_users.softmax(to_users.products(users, items))
        of_items = to_items.softmax(to_items.products(items, users))
        vectors = Embeddings(users + to_users(of_users, items), items + to_items(of_items, users))
        return _Content(vectors, of_users, of_items)

    def _prototypes(self, to_users: EdgeGraph, preference: Tensor, items: Tensor) -> Tensor:
        """Move the users' preferences to the items they fit, [num_users, embedding_dim].

        After t rounds p_u = a_u p_u^0 + sum_i w_ui v_i. The rounds find a and w without gradient,
        as routing usually does; gradients pass through that sum and its normalisation.
        """
        with torch.no_grad():
            own = preference.norm(dim=-1, keepdim=True).clamp_min(_TINY).reciprocal()
            users = own * preference
            weights = torch.zeros(len(to_users.targets), device=items.device)
            for _ in range(self.params.num_routings):
                affinity = to_users.softmax(to_users.products(users, items))
                users = users + to_users(affinity, items)
                scale = users.norm(dim=-1, keepdim=True).clamp_min(_TINY).reciprocal()
                users, own = scale * users, scale * own
                weights = (weights + affinity) * scale[to_users.targets, 0]
        return normalize(own * preference + to_users(weights, items), dim=-1)

    def _collaborative(self, graph: _Refined, contents: list[_Content]) -> Embeddings:
        """Propagate the ID embeddings over the edges that content has weighted."""
        to_users, to_items = self._weights(graph, contents)
        users, items = normalize(self.users, dim=-1), normalize(self.items, dim=-1)
        all_users, all_items = users, items
        for _ in range(self.params.num_layers):
            users, items = graph.to_users(to_users, items), graph.to_items(to_items, users)
            all_users, all_items = all_users + users, all_items + items
        return Embeddings(all_users, all_items)

    def _weights(self, graph: _Refined, contents: list[_Content]) -> tuple[Tensor, Tensor]:
        """Weights of the edges to users and to items, the largest over the modalities."""
        to_users, to_items = [], []
        for modality, content in zip(self.modalities, contents, strict=True):
            name = slot(modality)
            trust_of_items = softplus(self.item_trust[name])[graph.to_users.sources]
            trust_of_users = softplus(self.user_trust[name])[graph.to_items.sources]
            to_users.append(trust_of_items * content.to_users)
            to_items.append(trust_of_users * content.to_items)
        return torch.stack(to_users).amax(0), torch.stack(to_items).amax(0)

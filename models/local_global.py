"""What LGMRec and MGNM share: a local view over neighbours, a global one over hyperedges."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from models.encoders import Encoder
from models.features import slot
from models.hypergraph import Hypergraph
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep, Modality
from models.item_graph import item_graph
from models.local_branch import LocalBranch, local_branch
from models.losses import batch_rows, bpr, squared_norm
from models.params import Count, Layers, Params, Part, Positive, Weight
from models.recommender import Recommender


@dataclass(frozen=True)
class LocalGlobalParams(Params):
    """Parameters of `LGMRec` and `MGNM` alike.

    Args:
        embedding_dim: Width d of all vectors.
        num_layers: Propagation layers L of the IDs, whose mean is taken.
        num_feature_layers: Propagation layers K of the features, of which the last is taken.
        edge_share: Part of the interactions an epoch propagates IDs over, redrawn every epoch;
            below 1 a deviation.
        unit_features: Normalise every item's features first, so that none outweighs the others
            where they are averaged; a deviation. Dense features only.
        num_item_layers: Times the features are averaged over the graph of similar items before
            all else; above 0 a deviation, for features that are noisy. Dense features only.
        k: Similar items per item in that graph.
        modality_weights: Factor of a modality's local vectors, by name; one not named has 1.
        num_hyperedges: Hyperedges per modality.
        num_hyper_layers: Layers over them.
        gumbel_temperature: Temperature of the incidences.
        keep_share: Share of the incidences that stay in training.
        global_weight: alpha, weight of the global vectors.
        contrast_weight: Weight of the contrast between two modalities' global vectors, as means
            over users and over items; LGMRec's 1e-4 on sums over a batch of 2,048.
        contrast_samples: Pairs of the batch whose users and items are contrasted.
        temperature: tau of the contrast.
        reg_weight: Weight of the squared norms of the batch's ID embeddings.
    """

    embedding_dim: Count = 64
    num_layers: Layers = 2
    num_feature_layers: Layers = 2
    edge_share: Part = 1.0
    unit_features: bool = False
    num_item_layers: Layers = 0
    k: Count = 10
    modality_weights: Mapping[Modality, Weight] = field(default_factory=dict)
    num_hyperedges: Count = 4
    num_hyper_layers: Count = 1
    gumbel_temperature: Positive = 0.2
    keep_share: Part = 0.5
    global_weight: Weight = 0.3
    contrast_weight: Weight = 0.2
    contrast_samples: Count = 512
    temperature: Positive = 0.2
    reg_weight: Weight = 1e-3


@dataclass(frozen=True)
class _Step:
    """Loss terms of a batch, and the ID layers 0..L behind them, [num_nodes, d] each."""

    terms: dict[str, Tensor]
    layers: list[Tensor]


class LocalGlobal(Recommender):
    """E* = E_id + sum_m w_m n(E_m) + alpha n(sum_m G_m), n the L2 norm of rows.

    E_id are LightGCN vectors of the IDs, E_m a modality's `LocalBranch`, G_m the vectors that
    its `Hypergraph` gives. A subclass says to which hyperedges items belong.

    Args:
        inputs: Training pairs and item features, any number of modalities.
        params: What both models have.
        generator: Source of the initial values.
        hypergraph: How hyperedges propagate.

    Raises:
        ValueError: The inputs hold no modality, or one without features or categories.
    """

    def __init__(
        self,
        inputs: Inputs,
        params: LocalGlobalParams,
        generator: torch.Generator,
        hypergraph: Hypergraph,
    ) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError(f"{type(self).__name__} needs at least one modality with features")
        self.common = params
        self.encoder = Encoder(
            inputs,
            "lightgcn",
            params.embedding_dim,
            params.num_layers,
            generator,
            edge_share=params.edge_share,
        )
        self.local = nn.ModuleDict(
            {
                slot(modality): local_branch(
                    inputs, modality, params.embedding_dim, params.num_feature_layers, generator
                )
                for modality in self.modalities
            }
        )
        self.hypergraph = hypergraph

    @abstractmethod
    def affinities(self, keep: Keep = ALL) -> list[Tensor]:
        """Return per modality H_i, the items' affinities to hyperedges, [num_items, H]."""

    def refresh(self, epoch: int, generator: torch.Generator) -> None:  # noqa: ARG002
        """Draw the interactions of the epoch."""
        self.encoder.refresh(generator)

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Return E*, without noise and dropout."""
        collaborative: Embeddings = self.encoder()
        global_parts = self.hypergraph(self.affinities(keep), collaborative)
        nodes = torch.cat([collaborative.users, collaborative.items])
        for modality in self.modalities:
            nodes = nodes + self._weight(modality) * normalize(self._local(modality)(keep), dim=-1)
        vectors = self.encoder.split(nodes)
        return self._with_global(vectors, global_parts)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr`, `reg` and, for two modalities or more, `contrast`."""
        return self._step(batch).terms

    def _step(self, batch: Batch) -> _Step:
        params = self.common
        layers = self.encoder.layers()
        total, *others = layers
        for layer in others:
            total = total + layer
        collaborative = self.encoder.split(total / len(layers))
        items = torch.cat([batch.positive_items, batch.negative_items.flatten()])
        global_parts: list[Embeddings] = self.hypergraph(
            self.affinities(),
            collaborative,
            (batch.users, items),
            batch.generator if self.training else None,
        )
        gathered, numbered = batch_rows(collaborative, batch)
        vectors = self._with_global(self._with_local(gathered, batch.users, items), global_parts)
        tables, _ = batch_rows(Embeddings(self.encoder.users, self.encoder.items), batch)
        terms = {
            "bpr": bpr(vectors, numbered),
            "reg": params.reg_weight * squared_norm(tables),
        }
        if len(self.modalities) > 1 and params.contrast_weight > 0.0:
            terms["contrast"] = params.contrast_weight * self._contrast(global_parts, batch)
        return _Step(terms, layers)

    def _with_local(self, gathered: Embeddings, users: Tensor, items: Tensor) -> Embeddings:
        nodes = torch.cat([users, items + self.num_users])
        total = torch.cat([gathered.users, gathered.items])
        for modality in self.modalities:
            local = self._local(modality)(ALL, nodes)
            total = total + self._weight(modality) * normalize(local, dim=-1)
        return Embeddings(total[: len(users)], total[len(users) :])

    def _with_global(self, vectors: Embeddings, parts: list[Embeddings]) -> Embeddings:
        alpha = self.common.global_weight
        users = torch.stack([part.users for part in parts]).sum(0)
        items = torch.stack([part.items for part in parts]).sum(0)
        return Embeddings(
            vectors.users + alpha * normalize(users, dim=-1),
            vectors.items + alpha * normalize(items, dim=-1),
        )

    def _contrast(self, parts: list[Embeddings], batch: Batch) -> Tensor:
        """LGMRec, Eq. 14; MGNM, Eq. 16, for every pair of modalities, the first as anchor.

        Deviates: the candidates are the users and positive items of the first
        `contrast_samples` pairs of the batch, not all there are.
        """
        count = self.common.contrast_samples
        users, items = batch.users[:count], batch.positive_items[:count]
        temperature = self.common.temperature
        terms = []
        for first, second in combinations(parts, 2):
            terms += [
                contrast(first.users[:count], second.users[:count], users, temperature),
                contrast(first.items[: len(items)], second.items[: len(items)], items, temperature),
            ]
        return torch.stack(terms).sum()

    def _local(self, modality: Modality) -> LocalBranch:
        branch = self.local[slot(modality)]
        assert isinstance(branch, LocalBranch)
        return branch

    def _weight(self, modality: Modality) -> float:
        return self.common.modality_weights.get(modality, 1.0)


def contrast(anchors: Tensor, candidates: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """InfoNCE between rows of the same number; rows that mean the same are no negatives.

    Args:
        anchors: Vectors, float32 [n, width].
        candidates: Vectors, float32 [n, width].
        ids: What a row means, int64 [n].
        temperature: Divides the cosines.
    """
    logits = normalize(anchors, dim=-1) @ normalize(candidates, dim=-1).T / temperature
    rows = torch.arange(len(ids), device=ids.device)
    repeated = (ids[:, None] == ids) & (rows[:, None] != rows)
    return cross_entropy(logits.masked_fill(repeated, -torch.inf), rows)


def prepared(inputs: Inputs, params: LocalGlobalParams) -> Inputs:
    """Return the inputs with dense features normalised and averaged as the parameters say.

    Raises:
        ValueError: As for `models.item_graph.neighbours_of`.
    """
    features = dict(inputs.features)
    for modality in features:
        if params.unit_features:
            features[modality] = normalize(features[modality], dim=-1)
        if params.num_item_layers:
            graph = item_graph(inputs, modality, params.k)
            for _ in range(params.num_item_layers):
                features[modality] = graph(features[modality])
    return replace(inputs, features=features)

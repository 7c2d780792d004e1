"""GNNMR: one graph network per modality, taught by the data and by all the other networks."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid, pad

from models.attention import Design, Kind, LayerSum, Networks
from models.features import projections, slot
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep, Modality, kept
from models.item_graph import item_graph
from models.params import (
    Count,
    ItemRows,
    Layers,
    Params,
    Part,
    Positive,
    Weight,
    item_table,
    user_table,
)
from models.recommender import Recommender

IDS = "ids"
"""Name of the network of the item IDs; those of modalities are called by their `slot`."""


@dataclass(frozen=True)
class GNNMRParams(Params):
    """Parameters of `GNNMR`.

    Args:
        embedding_dim: Width d of the vectors of one network.
        encoder: Network of a modality; the paper takes `gat` and allows any other.
        num_layers: Layers L of a network.
        mutual_weight: Weight lambda of mutual learning, Eq. 9.
        temperature: Divides the scores that are compared in Eq. 8.
        ensemble: `con` sets the networks' vectors side by side, Eq. 10, so that their scores
            add up; `ave` averages them, Eq. 11, and starts all user tables alike.
        ensemble_weights: The networks count `equal`, or as is best on the split for
            `validation`, once they are trained; needs `con`.
        item_ids: Item IDs as a learned `offset` of the projected features in each network, as
            one more `network`, or `none`.
        unit_features: Divide dense features by their norm before they are projected. Without
            it, features of large norm drown the item IDs and are slow to learn.
        layer_sum: Final vectors are the `mean` of layers 0..L or the `last` layer.
        self_loops: A node attends to itself too, as GAT defines its neighbourhood.
        last_activation: LeakyReLU also after the last layer, not just between layers.
        scaled: Messages are multiplied by sqrt(deg(v) / deg(j)), so that even attention is the
            normalisation of LightGCN instead of a mean.
        edge_share: Part of the interactions an epoch propagates over, redrawn every epoch.
        item_layers: Hops of layer 0 over the item graph of the modality, added to its items.
        k: Neighbours per item in those graphs.
        reg_weight: Weight of the squared norms of the batch's rows of layer 0.
        faithful: The paper to the letter: Eq. 3-6 without item IDs, self-loops or item graphs,
            vectors of the last layer, LeakyReLU after it, W Xavier-uniform. It decides over
            `item_ids`, `unit_features`, `layer_sum`, `self_loops`, `last_activation`, `scaled` and
            `item_layers`.
    """

    embedding_dim: Count = 64
    encoder: Kind = "gat"
    num_layers: Layers = 2
    mutual_weight: Weight = 0.5
    temperature: Positive = 1.0
    ensemble: Literal["con", "ave"] = "con"
    ensemble_weights: Literal["equal", "validation"] = "equal"
    item_ids: Literal["none", "offset", "network"] = "offset"
    unit_features: bool = False
    layer_sum: LayerSum = "mean"
    self_loops: bool = True
    last_activation: bool = False
    scaled: bool = False
    edge_share: Part = 1.0
    item_layers: Layers = 0
    k: Count = 10
    reg_weight: Weight = 1e-2
    faithful: bool = False


class GNNMR(Recommender):
    """GNNMR of Li et al. 2024 (Applied Mathematics and Computation), for any modalities.

    Per modality m a network of its own: layer 0 holds a user table and the projected features,
    graph attention carries them over the interactions (Eq. 3-5), a dot product scores (Eq. 6).
    Each network learns from BPR (Eq. 7) and from the mean score of all the others (Eq. 8-9);
    their scores add up (Eq. 10). Deviations, forced where the paper leaves no choice:
    features are projected to width d (Eq. 4 needs it); Eq. 8 compares softmax distributions over
    each user's positive and negative items, as raw scores have no divergence; teachers are
    constants, so one backward pass equals the steps of Algorithm 1; losses are means; and what
    `faithful` takes back: self-loops, the mean of layers (on a bipartite graph two layers
    without them never bring a feature to a user), no last LeakyReLU, W starting as the
    identity, item IDs, item graphs.

    Raises:
        ValueError: There is no modality, one without features or categories, or an average that
            is to be weighted.
    """

    weights: Tensor | None

    def __init__(self, inputs: Inputs, params: GNNMRParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError("GNNMR needs at least one modality with features")
        if params.ensemble == "ave" and params.ensemble_weights != "equal":
            raise ValueError("the average has cross terms that no weight is for; use ensemble=con")
        if params.faithful:
            params = _to_the_letter(params)
        self.params = params
        self.sizes = [self.num_users, self.num_items]
        names = [slot(modality) for modality in self.modalities]
        if params.item_ids == "network":
            names.append(IDS)
        dim = params.embedding_dim
        self.projections = projections(inputs, dim, generator, unit=params.unit_features)
        self.users = self._user_tables(names, inputs, generator)
        self.items = nn.ParameterDict()
        if params.item_ids == "offset":
            for name in names:
                self.items[name] = ItemRows(torch.zeros(self.num_items, dim))
        elif params.item_ids == "network":
            self.items[IDS] = item_table(inputs, dim, generator)
        self.graphs = nn.ModuleDict()
        if params.item_layers:
            for modality in self.modalities:
                self.graphs[slot(modality)] = item_graph(inputs, modality, params.k)
        design = Design(
            kind=params.encoder,
            num_layers=params.num_layers,
            layer_sum=params.layer_sum,
            self_loops=params.self_loops,
            last_activation=params.last_activation,
            scaled=params.scaled,
            identity=not params.faithful,
            edge_share=params.edge_share,
        )
        self.networks = Networks(inputs, names, dim, design, generator)
        chosen = params.ensemble_weights == "validation" and len(names) > 1
        self.register_buffer("weights", torch.ones(len(names)) if chosen else None)

    def _user_tables(
        self, names: list[str], inputs: Inputs, generator: torch.Generator
    ) -> nn.ParameterDict:
        dim = self.params.embedding_dim
        tables = nn.ParameterDict({name: user_table(inputs, dim, generator) for name in names})
        if self.params.ensemble == "ave":
            for name in names[1:]:
                tables[name].data.copy_(tables[names[0]].data)
        return tables

    def refresh(self, epoch: int, generator: torch.Generator) -> None:  # noqa: ARG002
        """Draw the interactions of the epoch."""
        self.networks.refresh(generator)

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Return the ensemble of the networks' vectors, Eq. 10 or 11."""
        parts = self.components(keep)
        return Embeddings(
            torch.cat([part.users for part in parts], -1),
            torch.cat([part.items for part in parts], -1),
        )

    def components(self, keep: Keep = ALL) -> list[Embeddings]:
        """Return the vectors of every network, weighted; their average alone for `ave`.

        The network of a modality that is not kept says nothing, 0 of every item: one that
        propagates the mean of a modality would still rank items by how many users they have.
        """
        nodes = self._propagate(self._layer_zero())
        if keep is not None:
            said = [owner is None or kept(owner, keep) for owner in self._owners()]
            nodes = nodes * nodes.new_tensor(said)[:, None, None]
        if self.weights is not None:
            # Half of a weight to either side, so that items are alike as the scores see them.
            nodes = nodes * self.weights.sqrt()[:, None, None]
        users, items = nodes.split(self.sizes, 1)  # type: ignore[no-untyped-call]  # untyped in torch
        if self.params.ensemble == "ave":
            return [Embeddings(users.mean(0), items.mean(0))]
        return [Embeddings(*pair) for pair in zip(users, items, strict=True)]

    def component_owners(self) -> tuple[Modality | None, ...] | None:
        """Every network belongs to its modality, that of the item IDs to none."""
        return None if self.params.ensemble == "ave" else self._owners()

    def _owners(self) -> tuple[Modality | None, ...]:
        return (*self.modalities, None) if IDS in self.users else self.modalities

    def component_weights(self) -> Tensor | None:
        """Return the weights of the networks, where they are to be chosen."""
        return self.weights

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr`, `mutual` and `reg`, each summed over the networks."""
        size = len(batch.users)
        chosen = torch.cat([batch.positive_items, batch.negative_items.flatten()])
        rows = torch.cat([batch.users, self.num_users + chosen])
        first = self._layer_zero()
        nodes = self._propagate(first, rows)
        users, positive, negative = nodes.tensor_split([size, 2 * size], 1)
        negative = negative.view(len(nodes), *batch.negative_items.shape, -1)
        gaps = (users * positive).sum(-1, keepdim=True) - torch.einsum(
            "mbd,mbnd->mbn", users, negative
        )  # [networks, batch, negatives]
        norms = first.index_select(1, rows).square().sum() / (2 * size)
        return {
            "bpr": -logsigmoid(gaps).mean((1, 2)).sum(),
            "mutual": self.params.mutual_weight * mutual(gaps, self.params.temperature),
            "reg": self.params.reg_weight * norms,
        }

    def _layer_zero(self) -> Tensor:
        """Return users, then items, of every network, [networks, num_nodes, width]."""
        tables = []
        for modality in self.modalities:
            name = slot(modality)
            items = self.projections[name]()
            if name in self.items:
                items = items + self.items[name]
            tables += [self.users[name], items]
        if IDS in self.users:
            tables += [self.users[IDS], self.items[IDS]]
        return torch.cat(tables).view(self.networks.count, sum(self.sizes), -1)

    def _propagate(self, first: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return the final vectors of all nodes, or of `rows`."""
        nodes: Tensor = self.networks(first, rows)
        if not self.graphs:
            return nodes
        around = []
        for modality, items in zip(self.modalities, first[:, self.num_users :], strict=False):
            for _ in range(self.params.item_layers):
                items = self.graphs[slot(modality)](items)
            around.append(items)
        missing = self.networks.count - len(around)
        added = pad(torch.stack(around), (0, 0, self.num_users, 0, 0, missing))
        return nodes + (added if rows is None else added.index_select(1, rows))


def mutual(gaps: Tensor, temperature: float) -> Tensor:
    """Sum over networks of KL(teacher || network), Eq. 8, the mean over the batch.

    Both are softmax distributions over a user's candidates: the positive item and its negatives.
    The teacher of a network is the mean score of all the others, without gradient. With one
    negative this is the divergence of two Bernoulli variables of sigma(gap / temperature). The
    factor temperature^2 keeps gradients of one size (Hinton et al. 2015).

    Args:
        gaps: Score of the positive minus that of each negative item, float32
            [networks, batch, negatives].
        temperature: Divides the scores.

    Returns:
        A scalar of at least 0; 0 for one network, which has no teacher.
    """
    if len(gaps) == 1:
        return gaps.new_zeros(())
    # A softmax does not change when the same number, the positive's score, is subtracted.
    scores = pad(-gaps, (1, 0)) / temperature  # [networks, batch, 1 + negatives]
    constant = scores.detach()
    teacher = ((constant.sum(0) - constant) / (len(gaps) - 1)).log_softmax(-1)
    divergence = teacher.exp() * (teacher - log_softmax(scores, -1))
    return divergence.sum(-1).mean(1).sum() * temperature**2


def _to_the_letter(params: GNNMRParams) -> GNNMRParams:
    return replace(
        params,
        item_ids="none",
        layer_sum="last",
        self_loops=False,
        last_activation=True,
        scaled=False,
        unit_features=False,
        item_layers=0,
    )

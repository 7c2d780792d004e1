"""BM3: bootstrapped vectors, trained without negative samples."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, linear, normalize

from models.encoders import Encoder
from models.features import Projection, projections
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep
from models.params import Count, Layers, Params, Part, Share, Weight, xavier
from models.recommender import Recommender


@dataclass(frozen=True)
class BM3Params(Params):
    """Parameters of `BM3`.

    Args:
        embedding_dim: Width d of all vectors.
        num_layers: Propagation layers over the interaction graph.
        edge_share: Part of the interactions an epoch propagates over, redrawn every epoch.
        dropout: Share of a target vector's entries set to zero.
        content_weight: Weight of the two terms of the modalities, alignment and masking.
        reg_weight: Weight of the squared norms of the batch's vectors h. Cosines do not see
            lengths: it only decides how far a step turns a vector, and must be small.
        train_features: Whether the dense features f_m are trained too, as in the public code.
    """

    embedding_dim: Count = 64
    num_layers: Layers = 1
    edge_share: Part = 1.0
    dropout: Share = 0.5
    content_weight: Weight = 2.0
    reg_weight: Weight = 1e-4
    train_features: bool = True


class BM3(Recommender):
    """BM3 of Zhou et al. 2023, arXiv:2207.05969, for any number of modalities.

    With LightGCN's layer means x (Section 3.1), h_u = x_u and h_i = x_i + the item's own ID
    embedding; e_m = W_m f_m + b_m is an item's latent vector of a modality. One predictor
    p(z) = W z + b stands on the online side; the target side z' is z with entries dropped and
    no gradient (Section 3.2). With d(a, b) = 1 - cos(a, b), the loss (Section 3.3) is

        reconstruction  d(p(h_u), h_i') + d(p(h_i), h_u')
        alignment       sum over m of d(p(e_m), h_i')
        masking         sum over m of d(p(e_m), e_m')

    and the score p(h_u) . p(h_i) (Section 3.4). The batch's negatives are not looked at.

    Deviates: the norms are those of the batch's rows, squared; an
    item without interactions, whose h_i nothing has trained, takes the mean direction of its
    e_m, which alignment has brought close to h_i, at the mean length of the other items.

    Raises:
        ValueError: The inputs hold no modality, or one without features.
    """

    cold: Tensor

    def __init__(self, inputs: Inputs, params: BM3Params, generator: torch.Generator) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError("BM3 needs at least one modality with features")
        self.params = params
        dim = params.embedding_dim
        self.encoder = Encoder(
            inputs, "lightgcn", dim, params.num_layers, generator, edge_share=params.edge_share
        )
        self.projections = projections(inputs, dim, generator, trained=params.train_features)
        self.weight = nn.Parameter(xavier((dim, dim), generator))
        # As in the public code: all h are small beside b at first, so the angles of p(h) agree and
        # part slowly. From b = 0 the vectors settle far worse (docs/benchmarks.md).
        start = torch.empty(dim).uniform_(-(dim**-0.5), dim**-0.5, generator=generator)
        self.bias = nn.Parameter(start)
        degrees = torch.bincount(inputs.edge_index[1], minlength=self.num_items)
        self.register_buffer("cold", degrees == 0, persistent=False)

    def refresh(self, epoch: int, generator: torch.Generator) -> None:  # noqa: ARG002
        """Draw the edges of the epoch."""
        self.encoder.refresh(generator)

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Return p(h_u) and p(h_i); content counts for items without interactions alone."""
        vectors = self._vectors()
        lengths = vectors.items.norm(dim=-1) * ~self.cold
        length = lengths.sum() / (~self.cold).sum().clamp_min(1)
        content = torch.stack([normalize(rows, dim=-1) for rows in self._content(keep)]).mean(0)
        items = torch.where(self.cold[:, None], length * normalize(content, dim=-1), vectors.items)
        return Embeddings(self._predict(vectors.users), self._predict(items))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `reconstruction`, `alignment`, `masking` and `reg`."""
        params = self.params
        vectors = self._vectors()
        users = vectors.users.index_select(0, batch.users)
        items = vectors.items.index_select(0, batch.positive_items)
        user_target = self._target(users, batch.generator)
        item_target = self._target(items, batch.generator)
        alignment, masking = [], []
        for projection in self.projections.values():
            assert isinstance(projection, Projection)
            rows = projection.of(batch.positive_items)
            online = self._predict(rows)
            alignment.append(_distance(online, item_target))
            masking.append(_distance(online, self._target(rows, batch.generator)))
        norms = users.square().sum() + items.square().sum()
        return {
            "reconstruction": _distance(self._predict(users), item_target)
            + _distance(self._predict(items), user_target),
            "alignment": params.content_weight * torch.stack(alignment).sum(),
            "masking": params.content_weight * torch.stack(masking).sum(),
            "reg": params.reg_weight * norms / (2 * len(users)),
        }

    def _vectors(self) -> Embeddings:
        """Vectors h of users and items before the predictor."""
        layers: Embeddings = self.encoder()
        return Embeddings(layers.users, layers.items + self.encoder.items)

    def _content(self, keep: Keep) -> list[Tensor]:
        return [projection(keep) for projection in self.projections.values()]

    def _predict(self, rows: Tensor) -> Tensor:
        return linear(rows, self.weight, self.bias)

    def _target(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Drop entries of `rows` [batch, d]; no gradient, no rescaling: only angles count."""
        draw = torch.rand(rows.shape, generator=generator, device=rows.device)
        return rows.detach() * (draw >= self.params.dropout)


def _distance(online: Tensor, target: Tensor) -> Tensor:
    return 1.0 - cosine_similarity(online, target, dim=-1).mean()

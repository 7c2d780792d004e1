"""DeepStyle: what an item looks like beyond its category."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.features import Projection, projections, slot
from models.inputs import ALL, Batch, Categories, Embeddings, Inputs, Keep, Modality, kept
from models.losses import batch_rows, bpr, squared_norm
from models.params import Count, Params, Weight, item_table, user_table
from models.recommender import Recommender

_ROUNDS = 20


@dataclass(frozen=True)
class DeepStyleParams(Params):
    """Parameters of `DeepStyle`.

    Args:
        embedding_dim: Width of the vectors.
        reg_weight: Weight of the squared norms of the batch's gamma_u and gamma_i.
        content_reg_weight: Weight of the squared norms of the styles of the batch's items.
        num_categories: Categories made by clustering the features of each modality. Used only
            when the data has no categorical modality.
    """

    embedding_dim: Count = 64
    reg_weight: Weight = 0.1
    content_reg_weight: Weight = 0.05
    num_categories: Count = 50


class DeepStyle(Recommender):
    """DeepStyle of Liu et al. 2017 (SIGIR), for any number of modalities.

    Score x_ui = gamma_u . (gamma_i + sum_m E^m f_i^m - c(i)): what is left of the
    content without the vector c of the item's category is its style. One space of users for
    everything, unlike VBPR; trained with BPR.

    Features are divided by their norm, as in `VBPR`, and styles are regularised as vectors.
    Every categorical modality is a category whose learned vector is subtracted. Deviates where
    the data has none: the items are clustered by each modality's features (k-means), and the
    vector of the cluster is subtracted from that modality's E f_i; the clusters stand in for
    categories, and hide with their modality.

    Raises:
        ValueError: The inputs hold no modality, or one without features.
    """

    def __init__(self, inputs: Inputs, params: DeepStyleParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError("DeepStyle needs at least one modality with features")
        self.params = params
        dim = params.embedding_dim
        self.users = user_table(inputs, dim, generator)
        self.items = item_table(inputs, dim, generator)
        self.projections = projections(inputs, dim, generator, bias=False, unit=True)
        self.clusters = nn.ModuleDict()
        if not inputs.categories:
            made = {
                modality: cluster(normalize(matrix, dim=-1), params.num_categories, generator)
                for modality, matrix in sorted(inputs.features.items())
            }
            as_columns = replace(inputs, features={}, neighbours={}, categories=made)
            self.clusters = projections(as_columns, dim, generator, bias=False)

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Return gamma_u, and gamma_i plus the style of every modality."""
        parts = self.components(keep)
        return Embeddings(self.users, torch.stack([part.items for part in parts]).sum(0))

    def components(self, keep: Keep = ALL) -> list[Embeddings]:
        """Return (gamma_u, gamma_i), then (gamma_u, style of the item) per modality in order.

        A part's item vectors depend on nothing but its own modality. Where that is not kept all
        of them are one vector, so that the part drops out of every margin.
        """
        items = [self.items, *(self._style(modality, keep) for modality in self.modalities)]
        return [Embeddings(self.users, part) for part in items]

    def component_owners(self) -> tuple[Modality | None, ...]:
        """Every part but the first belongs to its modality."""
        return (None, *self.modalities)

    def _style(self, modality: Modality, keep: Keep) -> Tensor:
        projection = self.projections[slot(modality)]
        assert isinstance(projection, Projection)
        content: Tensor = projection(keep)
        if projection.categorical:
            return -content
        if slot(modality) in self.clusters and kept(modality, keep):
            centre: Tensor = self.clusters[slot(modality)]()
            return content - centre
        return content

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr`, `reg` and `content_reg`."""
        identity, *styles = (part.items for part in self.components())
        gathered, rows = batch_rows(Embeddings(self.users, identity), batch)
        style, _ = batch_rows(Embeddings(self.users, torch.stack(styles).sum(0)), batch)
        whole = Embeddings(gathered.users, gathered.items + style.items)
        of_style = style.items.square().sum() / (2 * len(batch.users))
        return {
            "bpr": bpr(whole, rows),
            "reg": self.params.reg_weight * squared_norm(gathered),
            "content_reg": self.params.content_reg_weight * of_style,
        }


def cluster(features: Tensor, count: int, generator: torch.Generator) -> Categories:
    """Cluster items by k-means on their features (Lloyd's algorithm, a fixed number of rounds).

    Args:
        features: Item features, float32 [num_items, width].
        count: Number of clusters; at most num_items are made. One may end up empty.
        generator: Source of the items that the first centres are.
    """
    count = min(count, len(features))
    chosen = torch.randperm(len(features), generator=generator)[:count]
    centres = features[chosen.to(features.device)]
    codes = torch.cdist(features, centres).argmin(-1)
    for _ in range(_ROUNDS):
        sizes = torch.bincount(codes, minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, codes, features)
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp_min(1)[:, None], centres)
        codes = torch.cdist(features, centres).argmin(-1)
    return Categories(codes, count)

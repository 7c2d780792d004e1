"""VBPR: matrix factorisation with one more product per modality."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.features import Projection, mean_ablated, projections, slot
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep, Modality
from models.losses import batch_rows, bpr, squared_norm
from models.params import Count, Params, Weight, item_table, user_table
from models.recommender import Recommender


@dataclass(frozen=True)
class VBPRParams(Params):
    """Parameters of `VBPR`.

    Args:
        embedding_dim: Width of the vectors of each part, gamma and theta alike.
        reg_weight: Weight of the squared norms of the batch's gamma.
        content_reg_weight: Weight of the squared norms of the batch's theta_u and E f_i.
    """

    embedding_dim: Count = 64
    reg_weight: Weight = 0.1
    content_reg_weight: Weight = 0.05


class VBPR(Recommender):
    """VBPR of He and McAuley 2016, arXiv:1510.01784, for any number of modalities.

    Score x_ui = gamma_u . gamma_i + sum_m theta_u^m . E^m f_i^m (Eq. 4),
    trained with BPR. Deviations: each modality has a block (theta^m, E^m) of its own, as CKD
    uses it, where the paper knows one; Eq. 4 without its biases beta_u, beta_i and beta'; f_i
    is divided by its norm, without which E learns faster than the IDs do; E is regularised
    through the vectors E f_i of the batch, not by its own norm.

    Raises:
        ValueError: The inputs hold no modality, or one without features.
    """

    def __init__(self, inputs: Inputs, params: VBPRParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError("VBPR needs at least one modality with features")
        self.params = params
        dim = params.embedding_dim
        self.users = user_table(inputs, dim, generator)
        self.items = item_table(inputs, dim, generator)
        self.preferences = nn.ParameterDict(
            {slot(modality): user_table(inputs, dim, generator) for modality in self.modalities}
        )
        self.projections = projections(inputs, dim, generator, bias=False, unit=True)

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Return the parts side by side, [rows, embedding_dim * (1 + modalities)]."""
        return side_by_side(self.components(keep))

    def components(self, keep: Keep = ALL) -> list[Embeddings]:
        """Return (gamma_u, gamma_i), then (theta_u, E f_i) of every modality in order.

        A part depends on nothing but its own modality. Where that is not kept all rows are the
        mean, so that the part adds the same to every score and drops out of every margin.
        """
        parts = [Embeddings(self.users, self.items)]
        return parts + [self._content(modality, keep) for modality in self.modalities]

    def component_owners(self) -> tuple[Modality | None, ...]:
        """Every part but the first belongs to its modality."""
        return (None, *self.modalities)

    def _content(self, modality: Modality, keep: Keep) -> Embeddings:
        projection = self.projections[slot(modality)]
        assert isinstance(projection, Projection)
        preference: Tensor = self.preferences[slot(modality)]
        return Embeddings(mean_ablated(preference, modality, keep), projection(keep))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr`, `reg` and `content_reg`."""
        gathered = [batch_rows(part, batch) for part in self.components()]
        rows = gathered[0][1]
        identity, *content = [vectors for vectors, _ in gathered]
        joint = side_by_side(content)
        return {
            "bpr": bpr(side_by_side([identity, joint]), rows),
            "reg": self.params.reg_weight * squared_norm(identity),
            "content_reg": self.params.content_reg_weight * squared_norm(joint),
        }


def side_by_side(parts: Sequence[Embeddings]) -> Embeddings:
    """Concatenate the vectors of additive parts; the scores of the result are their sum."""
    return Embeddings(
        torch.cat([part.users for part in parts], dim=-1),
        torch.cat([part.items for part in parts], dim=-1),
    )

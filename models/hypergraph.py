"""Few hyperedges join all users and items: interests beyond anybody's neighbourhood."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.inputs import Embeddings, Inputs
from models.sparse import SparseMatrix


class Hypergraph(nn.Module):
    """Propagation over learned hyperedges (LGMRec, Eq. 8-11; MGNM, Eq. 12-14).

    From an item's affinity to every hyperedge, H_i, follows a user's, H_u = R H_i. Both become
    incidences by a softmax with temperature, in training with Gumbel noise and dropout. Then, per
    layer, E_u <- H_u (H_i' E_i) and E_i <- H_i (H_i' E_i); no items-by-items matrix is built.

    Deviates: evaluation takes the plain softmax, where the authors' code of LGMRec stays noisy;
    MGNM, Eq. 13 drops entries of H H', here entries of either factor are dropped.

    Args:
        inputs: Sizes and training pairs.
        num_layers: Number of hypergraph layers, at least 1.
        temperature: Divides affinities before the softmax.
        keep_share: Share of the incidences that stay in training.
        normalised: Take the mean over a user's items, D_u^-1 R, in place of the sum, which makes
            incidences of active users nearly one-hot.
        own_users: E_u <- H_u (H_u' E_u), from users to users, as MGNM, Eq. 14 is written.
    """

    def __init__(
        self,
        inputs: Inputs,
        num_layers: int,
        temperature: float,
        keep_share: float,
        *,
        normalised: bool = False,
        own_users: bool = False,
    ) -> None:
        super().__init__()
        users, items = inputs.edge_index
        weights = torch.ones(len(users))
        if normalised:
            weights = 1.0 / torch.bincount(users, minlength=inputs.num_users)[users]
        self.interactions = SparseMatrix(
            users, items, weights, (inputs.num_users, inputs.num_items)
        )
        self.num_layers = num_layers
        self.temperature = temperature
        self.keep_share = keep_share
        self.own_users = own_users

    def forward(
        self,
        affinities: Sequence[Tensor],
        vectors: Embeddings,
        rows: tuple[Tensor, Tensor] | None = None,
        generator: torch.Generator | None = None,
    ) -> list[Embeddings]:
        """Propagate, once per modality.

        Args:
            affinities: Per modality H_i, float32 [num_items, H].
            vectors: The vectors to propagate.
            rows: The users and items whose vectors are wanted, int64 [n] and [m]; all if None.
            generator: Source of noise and dropout; without it there is neither.
        """
        widths = [part.shape[1] for part in affinities]
        of_users = self.interactions(torch.cat(list(affinities), dim=-1)).split(widths, dim=-1)
        return [
            self._propagate(own, items, vectors, rows, generator)
            for own, items in zip(of_users, affinities, strict=True)
        ]

    def _propagate(
        self,
        of_users: Tensor,
        of_items: Tensor,
        vectors: Embeddings,
        rows: tuple[Tensor, Tensor] | None,
        generator: torch.Generator | None,
    ) -> Embeddings:
        items = self._incidence(of_items, generator)
        edges = self._gather(items, vectors.items)
        if self.own_users:
            users = self._incidence(of_users, generator)
            user_edges = self._gather(users, vectors.users)
            users = users if rows is None else users.index_select(0, rows[0])
        else:
            chosen = of_users if rows is None else of_users.index_select(0, rows[0])
            users, user_edges = self._incidence(chosen, generator), edges
        return Embeddings(
            users @ user_edges, (items if rows is None else items.index_select(0, rows[1])) @ edges
        )

    def _gather(self, incidence: Tensor, vectors: Tensor) -> Tensor:
        """Return what the hyperedges hold in the last layer, [H, d]."""
        edges = incidence.T @ vectors
        for _ in range(self.num_layers - 1):
            edges = incidence.T @ (incidence @ edges)
        return edges

    def _incidence(self, affinities: Tensor, generator: torch.Generator | None) -> Tensor:
        if generator is None:
            return (affinities / self.temperature).softmax(-1)
        # -ln of an exponential variable has the Gumbel distribution.
        noise = torch.empty_like(affinities).exponential_(generator=generator).log()
        incidence = ((affinities - noise) / self.temperature).softmax(-1)
        if self.keep_share >= 1.0:
            return incidence
        stays = torch.empty_like(incidence).bernoulli_(self.keep_share, generator=generator)
        return incidence * stays / self.keep_share

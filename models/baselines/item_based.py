"""Closed-form item-based models: nothing is trained by gradient."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from models.inputs import ALL, Batch, Embeddings, Inputs, Keep
from models.params import Count, Params, Positive
from models.recommender import Recommender, Scorer
from models.sparse import SparseMatrix


class ItemBased(Recommender):
    """Scores r_u W with an item-item matrix W, r_u the user's row of training interactions.

    `scorer` is exact. `embed` factorises W ~ P Q^T by a truncated SVD, so that a user's vector
    is the sum of the rows of P of their items and the score stays an inner product.
    """

    weights: Tensor

    def __init__(self, inputs: Inputs, rank: int, generator: torch.Generator) -> None:
        super().__init__(inputs)
        users, items = inputs.edge_index
        ones = torch.ones(len(users), device=users.device)
        self.interactions = SparseMatrix(users, items, ones, (self.num_users, self.num_items))
        self.rank = min(rank, self.num_items)
        self.generator = generator
        self.register_buffer("weights", self._item_weights(inputs), persistent=False)
        self._factors: tuple[Tensor, Tensor] | None = None

    @abstractmethod
    def _item_weights(self, inputs: Inputs) -> Tensor:
        """Return W, float32 [num_items, num_items]."""

    def co_occurrence(self, inputs: Inputs, user_weights: Tensor) -> Tensor:
        """Return R^T diag(user_weights) R, dense [num_items, num_items]."""
        users, items = inputs.edge_index
        transposed = SparseMatrix(items, users, user_weights[users], self.interactions.shape[::-1])
        counts = torch.empty(self.num_items, self.num_items, device=users.device)
        # A block of columns at a time: dense interactions of all items would be num_users wide.
        for start in range(0, self.num_items, 1024):
            width = min(1024, self.num_items - start)
            inside = (items >= start) & (items < start + width)
            dense = torch.zeros(self.num_users, width, device=users.device)
            dense[users[inside], items[inside] - start] = 1.0
            counts[:, start : start + width] = transposed(dense)
        return counts

    def embed(self, keep: Keep = ALL) -> Embeddings:  # noqa: ARG002  # it has no modalities
        """Return the truncated factors; `keep` changes nothing."""
        source, target = self._svd()
        return Embeddings(self.interactions(source), target)

    def item_factors(self) -> Tensor:
        """Return P of W ~ P Q^T, [num_items, rank]."""
        return self._svd()[0]

    def _svd(self) -> tuple[Tensor, Tensor]:
        if self._factors is None:
            self._factors = truncated_svd(self.weights, self.rank, self.generator)
        return self._factors

    def loss(self, batch: Batch) -> dict[str, Tensor]:  # noqa: ARG002  # nothing to minimise
        """Return no terms: the model is solved, not trained."""
        return {}

    @torch.no_grad()
    def scorer(self) -> Scorer:
        """Return the exact scores r_u W, not those of the truncated factors."""
        columns, offsets = self.interactions.columns.long(), self.interactions.offsets.long()

        def score(user_rows: Tensor) -> Tensor:
            starts, counts = offsets[user_rows], offsets[user_rows + 1] - offsets[user_rows]
            ends = counts.cumsum(0)
            within = torch.arange(int(counts.sum()), device=columns.device)
            within = within - (ends - counts).repeat_interleave(counts)
            items = columns[starts.repeat_interleave(counts) + within]
            bags = torch.cat([ends.new_zeros(1), ends])
            return torch.nn.functional.embedding_bag(
                items, self.weights, bags, mode="sum", include_last_offset=True
            )

        return score


def truncated_svd(matrix: Tensor, rank: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Randomised truncated SVD W ~ (U S^1/2)(V S^1/2)^T (Halko, Martinsson and Tropp 2011).

    Four power iterations with re-orthogonalisation, 16 extra columns. Returns both factors,
    [rows, rank] and [columns, rank].
    """
    width = min(rank + 16, *matrix.shape)
    start = torch.randn(matrix.shape[1], width, generator=generator).to(matrix.device)
    basis = torch.linalg.qr(matrix @ start).Q
    for _ in range(4):
        basis = torch.linalg.qr(matrix.T @ basis).Q
        basis = torch.linalg.qr(matrix @ basis).Q
    left, values, right = torch.linalg.svd(basis.T @ matrix, full_matrices=False)
    root = values[:rank].sqrt()
    return (basis @ left)[:, :rank] * root, right[:rank].T * root


@dataclass(frozen=True)
class ItemCFParams(Params):
    """Parameters of `ItemCF`; the defaults are the best on amazon-baby's validation split.

    Args:
        input_exponent: a, how much popular items of the user count less.
        output_exponent: b, how much popular candidates are held down.
        user_exponent: c, how much active users count less.
        rank: Width of the factors used for serving.
    """

    input_exponent: float = 0.3
    output_exponent: float = 0.05
    user_exponent: float = 0.5
    rank: Count = 512


class ItemCF(ItemBased):
    """Item-based collaborative filtering with degree exponents.

    W = D_i^-a (R^T D_u^-c R) D_i^-b with zero diagonal; a = b = 1/2, c = 0 is the cosine of
    Sarwar et al. 2001.
    """

    def __init__(self, inputs: Inputs, params: ItemCFParams, generator: torch.Generator) -> None:
        self.params = params
        super().__init__(inputs, params.rank, generator)

    def _item_weights(self, inputs: Inputs) -> Tensor:
        users, items = inputs.edge_index
        user_degrees = torch.bincount(users, minlength=self.num_users).clamp_min(1).float()
        item_degrees = torch.bincount(items, minlength=self.num_items).clamp_min(1).float()
        weights = self.co_occurrence(inputs, user_degrees**-self.params.user_exponent)
        weights.fill_diagonal_(0.0)
        weights *= (item_degrees**-self.params.input_exponent)[:, None]
        weights *= item_degrees**-self.params.output_exponent
        return weights


@dataclass(frozen=True)
class EASEParams(Params):
    """Parameters of `EASE`.

    Args:
        reg_weight: lambda, the L2 regularisation of the regression.
        rank: Width of the factors used for serving.
    """

    reg_weight: Positive = 200.0
    rank: Count = 512


class EASE(ItemBased):
    """EASE of Steck 2019, arXiv:1905.03375.

    P = (R^T R + lambda I)^-1, W = -P / diag(P) by columns, zero diagonal (Eq. 8).
    """

    def __init__(self, inputs: Inputs, params: EASEParams, generator: torch.Generator) -> None:
        self.params = params
        super().__init__(inputs, params.rank, generator)

    def _item_weights(self, inputs: Inputs) -> Tensor:
        ones = torch.ones(self.num_users, device=inputs.edge_index.device)
        gram = self.co_occurrence(inputs, ones)
        gram.diagonal().add_(self.params.reg_weight)
        precision = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        weights = -precision / precision.diagonal()
        weights.fill_diagonal_(0.0)
        return weights

"""A2CMHNE: attention between what a node is linked to and what it contains."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.features import projections, slot
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep
from models.losses import batch_rows, bpr, squared_norm
from models.params import Count, Params, Weight, item_table, user_table, xavier
from models.recommender import Recommender
from models.sparse import mean_aggregation


@dataclass(frozen=True)
class A2CMHNEParams(Params):
    """Parameters of `A2CMHNE`.

    Args:
        embedding_dim: Width of the structure vector and of the content vector; a node's vector
            is twice as wide.
        part_weight: Weight of the losses of structure alone and of content alone.
        reg_weight: Weight of the squared norms of the batch's structure and content vectors.
    """

    embedding_dim: Count = 64
    part_weight: Weight = 0.5
    reg_weight: Weight = 1e-2


class _Attention(nn.Module):
    """Softmax over vectors of one node of query . tanh(W z + b), [parts, n] for [parts, n, dim]."""

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.mix = nn.Linear(dim, dim)
        self.mix.weight.data = xavier((dim, dim), generator)
        nn.init.zeros_(self.mix.bias)
        self.query = nn.Parameter(xavier((1, dim), generator)[0])

    def forward(self, parts: Tensor) -> Tensor:
        return (torch.tanh(self.mix(parts)) @ self.query).softmax(0)


class A2CMHNE(Recommender):
    """A2CMHNE of Hu et al. 2019 (ACM TOMM 15(2)), for any number of modalities.

    No code is public, and of the paper only the abstract was used: an embedding of the nodes of
    a multimodal heterogeneous network that learns a vector from structure and one from content,
    lets them collaborate, and integrates them by attention. Built here as

    * structure: s_v, a table of users and of items, as network embeddings learn it from links;
    * content of an item: c_i = sum_m beta_i^m tanh(W_m f_i^m + b_m), beta_i a softmax over the
      modalities of q . tanh(W c + b);
    * content of a user: c_u, the mean of the c_i of the user's items, so that users and items
      without a vector of their own from links still have one;
    * integration: z_v = [a_v s_v | (1 - a_v) c_v] with a_v a softmax over the two, the weights
      doubled so that an undecided node keeps both parts whole; the score is z_u . z_i;
    * collaboration: links are predicted, by BPR, from z, and by both parts alone.

    Raises:
        ValueError: The inputs hold no modality, or one without features.
    """

    def __init__(self, inputs: Inputs, params: A2CMHNEParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError("A2CMHNE needs at least one modality with features")
        self.params = params
        dim = params.embedding_dim
        self.users = user_table(inputs, dim, generator)
        self.items = item_table(inputs, dim, generator)
        self.projections = projections(inputs, dim, generator)
        if len(self.modalities) > 1:
            self.modality_attention = _Attention(dim, generator)
        self.part_attention = _Attention(dim, generator)
        self.interactions = mean_aggregation(inputs.edge_index, self.num_users, self.num_items)

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Return the weighted structure and content vectors side by side."""
        return _side_by_side(self.components(keep))

    def components(self, keep: Keep = ALL) -> list[Embeddings]:
        """Return the weighted structure vectors and the weighted content vectors."""
        return self._weighted(Embeddings(self.users, self.items), self._content(keep))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr`, `structure`, `content` and `reg`."""
        params = self.params
        structure, rows = batch_rows(Embeddings(self.users, self.items), batch)
        content, _ = batch_rows(self._content(ALL), batch)
        norms = squared_norm(structure) + squared_norm(content)
        return {
            "bpr": bpr(_side_by_side(self._weighted(structure, content)), rows),
            "structure": params.part_weight * bpr(structure, rows),
            "content": params.part_weight * bpr(content, rows),
            "reg": params.reg_weight * norms,
        }

    def _content(self, keep: Keep) -> Embeddings:
        stacked = torch.stack(
            [torch.tanh(self.projections[slot(m)](keep)) for m in self.modalities]
        )  # [modalities, num_items, dim]
        items = stacked[0]
        if len(self.modalities) > 1:
            items = torch.einsum("mi,mid->id", self.modality_attention(stacked), stacked)
        return Embeddings(self.interactions(items), items)

    def _weighted(self, structure: Embeddings, content: Embeddings) -> list[Embeddings]:
        users = 2 * self.part_attention(torch.stack([structure.users, content.users]))
        items = 2 * self.part_attention(torch.stack([structure.items, content.items]))
        return [
            Embeddings(users[number, :, None] * part.users, items[number, :, None] * part.items)
            for number, part in enumerate((structure, content))
        ]


def _side_by_side(parts: list[Embeddings]) -> Embeddings:
    return Embeddings(
        torch.cat([part.users for part in parts], dim=-1),
        torch.cat([part.items for part in parts], dim=-1),
    )

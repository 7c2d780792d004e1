"""Loss terms that several models share."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from models.inputs import Batch, Embeddings


def bpr(vectors: Embeddings, batch: Batch) -> Tensor:
    """Bayesian personalised ranking, -mean ln sigma(s_ui - s_uj) (Rendle et al. 2009).

    The mean runs over all pairs of a positive with one of its negatives.
    """
    users = vectors.users[batch.users]
    positive = (users * vectors.items[batch.positive_items]).sum(-1, keepdim=True)
    if batch.negative_items.shape[1] == 1:
        negative = (users * vectors.items[batch.negative_items[:, 0]]).sum(-1, keepdim=True)
    else:
        negative = torch.einsum("bd,bnd->bn", users, vectors.items[batch.negative_items])
    return -logsigmoid(positive - negative).mean()


def l2(tables: tuple[Tensor, Tensor], batch: Batch) -> Tensor:
    """Half the squared norm of the batch's rows of (users, items), divided by the batch size."""
    users, items = tables
    rows = (
        users[batch.users],
        items[batch.positive_items],
        items[batch.negative_items.flatten()],
    )
    return torch.stack([part.square().sum() for part in rows]).sum() / (2 * len(batch.users))

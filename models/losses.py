"""Loss terms that several models share."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid, normalize

from models.inputs import Batch, Embeddings


def bpr(vectors: Embeddings, batch: Batch) -> Tensor:
    """Bayesian personalised ranking, -mean ln sigma(s_ui - s_uj) (Rendle et al. 2009).

    The mean runs over all pairs of a positive with one of its negatives.
    """
    return -logsigmoid(margins(vectors, batch)).mean()


def margins(vectors: Embeddings, batch: Batch) -> Tensor:
    """Differences s_ui - s_uj of positive and negative scores, [batch, negatives]."""
    users = vectors.users.index_select(0, batch.users)
    positives = vectors.items.index_select(0, batch.positive_items)
    positive = (users * positives).sum(-1, keepdim=True)
    if batch.negative_items.shape[1] == 1:
        negatives = vectors.items.index_select(0, batch.negative_items[:, 0])
        negative = (users * negatives).sum(-1, keepdim=True)
    else:
        negative = torch.einsum("bd,bnd->bn", users, vectors.items[batch.negative_items])
    return positive - negative


def batch_rows(vectors: Embeddings, batch: Batch) -> tuple[Embeddings, Batch]:
    """Gather the vectors of a batch, and renumber the batch to rows of what was gathered.

    Users come in the order of the batch, items as the positive ones before the negative ones;
    whoever occurs twice is there twice. Dense work on a batch need not be done for everyone.
    """
    size = len(batch.users)
    chosen = torch.cat([batch.positive_items, batch.negative_items.flatten()])
    numbers = torch.arange(len(chosen), device=chosen.device)
    negatives = numbers[size:].view(batch.negative_items.shape)
    gathered = Embeddings(
        vectors.users.index_select(0, batch.users), vectors.items.index_select(0, chosen)
    )
    return gathered, Batch(numbers[:size], numbers[:size], negatives, batch.generator)


def distinct_rows(batch: Batch) -> tuple[Tensor, Tensor, Batch]:
    """Return the users and the items of a batch, each once, and the batch by their places.

    Work that grows with what occurs, such as with its edges, need not be done for everyone.
    """
    size = len(batch.users)
    users, user_places = torch.unique(batch.users, return_inverse=True)
    chosen = torch.cat([batch.positive_items, batch.negative_items.flatten()])
    items, places = torch.unique(chosen, return_inverse=True)
    negatives = places[size:].view(batch.negative_items.shape)
    return users, items, Batch(user_places, places[:size], negatives, batch.generator)


def l2(tables: tuple[Tensor, Tensor], batch: Batch) -> Tensor:
    """Half the squared norm of the batch's rows of (users, items), divided by the batch size."""
    users, items = tables
    rows = (
        users.index_select(0, batch.users),
        items.index_select(0, batch.positive_items),
        items.index_select(0, batch.negative_items.flatten()),
    )
    return torch.stack([part.square().sum() for part in rows]).sum() / (2 * len(batch.users))


def squared_norm(gathered: Embeddings) -> Tensor:
    """Return `l2` of the vectors that `batch_rows` gathered, without gathering them again."""
    users, items = gathered.users.square().sum(), gathered.items.square().sum()
    return (users + items) / (2 * len(gathered.users))


def info_nce(anchors: Tensor, candidates: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """Contrast each anchor with all candidates, mean -ln softmax of the cosines (InfoNCE).

    Args:
        anchors: Vectors, float32 [batch, width].
        candidates: Vectors, float32 [n, width]; all but the positive one are negatives.
        positives: Row of each anchor's positive candidate, int64 [batch].
        temperature: Divides the cosines.
    """
    logits = normalize(anchors, dim=-1) @ normalize(candidates, dim=-1).T / temperature
    return cross_entropy(logits, positives)

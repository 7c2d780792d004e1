"""Weights of a model's additive components, chosen on the validation split after training."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.inputs import Embeddings
from models.recommender import Recommender
from training.choosing import Choosing, choosing
from training.data.pairs import Pairs
from training.likelihood import Lesson, likeliest_weights

logger = logging.getLogger(__name__)

SCORES = 40_000_000
"""Scores held at a time; where there are more, users rank a sample of the items."""


@torch.no_grad()
def weigh_components(
    model: Recommender, train: Pairs, validation: Pairs, *, scores: int = SCORES
) -> None:
    """Give the components the weights under which the validation pairs are likeliest.

    Their mean is 1. Nothing happens to a model that has none to choose; without validation pairs,
    or when no component tells anything, all components count alike.

    Args:
        model: A trained model; its `component_weights` are overwritten.
        train: Training pairs, which are no candidates.
        validation: Pairs to be found.
        scores: Scores held at a time.
    """
    weights = model.component_weights()
    if weights is None:
        return
    weights.fill_(1.0)
    if not len(validation.user_rows):
        return
    model.eval()
    parts = model.components()
    chosen_by = choosing(train, validation)
    size = max(1, scores // (len(parts) * len(chosen_by.rows)))
    lesson = _lesson(parts, chosen_by, _candidates(chosen_by, model.num_items, size))
    found = likeliest_weights([lesson])
    if found.sum() > 0:
        weights.copy_(torch.from_numpy(found * len(found) / found.sum()))
    logger.info("components weigh %s", [round(weight, 3) for weight in weights.tolist()])


def _candidates(chosen_by: Choosing, num_items: int, size: int) -> NDArray[np.int64]:
    """Return all items, or a fixed sample of about `size` with every item that is to be found."""
    if num_items <= size:
        return np.arange(num_items)
    drawn = np.random.default_rng(0).choice(num_items, size, replace=False)
    return np.union1d(drawn, chosen_by.relevant.item_rows)


def _lesson(
    parts: Sequence[Embeddings], chosen_by: Choosing, candidates: NDArray[np.int64]
) -> Lesson:
    shape = (len(chosen_by.rows), len(candidates))
    items = torch.from_numpy(candidates)
    members = np.empty((len(parts), *shape), np.float32)
    for scored, part in zip(members, parts, strict=True):
        scored[:] = (part.users.cpu()[chosen_by.rows] @ part.items.cpu()[items].T).numpy()
    known, wanted = (
        _marked(pairs, candidates, shape) for pairs in (chosen_by.masked, chosen_by.relevant)
    )
    free = ~known | wanted
    return Lesson(members, free, wanted / wanted.sum(1, keepdims=True))


def _marked(
    pairs: Pairs, candidates: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    columns = np.searchsorted(candidates, pairs.item_rows).clip(max=len(candidates) - 1)
    there = candidates[columns] == pairs.item_rows
    marked = np.zeros(shape, np.bool_)
    marked[pairs.user_rows[there], columns[there]] = True
    return marked

"""Margins of a model under masks of its modalities, from as few forward passes as possible."""

import torch
from torch import Tensor

from models.inputs import ALL, Batch, Embeddings, Keep, kept
from models.losses import margins
from models.recommender import Recommender

NOTHING: Keep = frozenset()


class Passes:
    """The forward passes of one step; each mask is embedded at most once.

    When a model names the owners of its additive parts, two passes give all masks: a part's
    margins are those with everything kept where its modality is kept, and those with everything
    masked where it is not. Otherwise every mask is a pass of its own.

    Under `torch.no_grad` passes made before with gradient are used again; so ask for those first.

    Args:
        model: The model as it is now; make new passes after its parameters have changed.
    """

    def __init__(self, model: Recommender) -> None:
        self.model = model
        self.owners = model.component_owners()
        self._made: dict[tuple[Keep, bool], list[Embeddings]] = {}
        self._margins: dict[tuple[int, Keep, bool], tuple[Batch, list[Tensor]]] = {}

    def margins(self, triples: Batch, keep: Keep) -> Tensor:
        """Return s_ui - s_uj with only `keep` not masked, [batch, negatives]."""
        if keep is not None and keep >= set(self.model.modalities):
            keep = ALL
        if self.owners is None:
            return self._part_margins(triples, keep)[0]
        whole = self._part_margins(triples, ALL)
        if keep is ALL:
            return torch.stack(whole).sum(0)
        masked = self._part_margins(triples, NOTHING)
        parts = [
            whole[number] if owner is None or kept(owner, keep) else masked[number]
            for number, owner in enumerate(self.owners)
        ]
        return torch.stack(parts).sum(0)

    def _part_margins(self, triples: Batch, keep: Keep) -> list[Tensor]:
        for gradient in _acceptable():
            key = (id(triples), keep, gradient)
            if key in self._margins:
                return self._margins[key][1]
        found = [_margins(part, triples) for part in self._parts(keep)]
        # The triples are kept alive with their margins: an id is unique among the living only.
        self._margins[id(triples), keep, torch.is_grad_enabled()] = (triples, found)
        return found

    def _parts(self, keep: Keep) -> list[Embeddings]:
        for gradient in _acceptable():
            if (keep, gradient) in self._made:
                return self._made[keep, gradient]
        made = [self.model.embed(keep)] if self.owners is None else self.model.components(keep)
        self._made[keep, torch.is_grad_enabled()] = made
        return made


def _margins(part: Embeddings, triples: Batch) -> Tensor:
    if part.items.stride(0) == 0 and len(part.items) > 1:
        # One row expanded, a mean: all items score alike, and looking rows up would be for nothing.
        return part.items.new_zeros(triples.negative_items.shape)
    return margins(part, triples)


def _acceptable() -> tuple[bool, ...]:
    """With gradient wanted only passes with gradient will do; without it, any."""
    return (True,) if torch.is_grad_enabled() else (True, False)

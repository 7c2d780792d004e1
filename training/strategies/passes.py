"""Margins of a model under masks of its modalities, from as few forward passes as possible."""

import torch
from torch import Tensor

from models.inputs import ALL, Batch, Embeddings, Keep, kept
from models.losses import margins
from models.recommender import Recommender


class Passes:
    """The forward passes of one step; each mask is embedded at most once.

    When a model names the owners of its additive parts, one pass gives all masks: a part drops
    out of every margin where its modality is masked. Otherwise every mask is a pass of its own.

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
        parts = self._part_margins(triples, ALL)
        left = [
            part
            for owner, part in zip(self.owners, parts, strict=True)
            if owner is None or kept(owner, keep)
        ]
        return torch.stack(left).sum(0) if left else torch.zeros_like(parts[0])

    def _part_margins(self, triples: Batch, keep: Keep) -> list[Tensor]:
        for gradient in _acceptable():
            key = (id(triples), keep, gradient)
            if key in self._margins:
                return self._margins[key][1]
        found = [margins(part, triples) for part in self._parts(keep)]
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


def _acceptable() -> tuple[bool, ...]:
    """With gradient wanted only passes with gradient will do; without it, any."""
    return (True,) if torch.is_grad_enabled() else (True, False)

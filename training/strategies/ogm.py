"""OGM: on-the-fly gradient modulation, the leading modality's parameters learn more slowly."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.inputs import Batch
from models.params import Params, Weight
from models.recommender import Recommender
from training.strategies.passes import Passes
from training.strategies.strategy import KnownPairs, Strategy


@dataclass(frozen=True)
class OGMParams(Params):
    """Parameters of `OGM`.

    Args:
        strength: alpha, how much a leading modality is slowed down.
        noise: Add Gaussian noise with the gradient's deviation, the "GE" of OGM-GE.
    """

    strength: Weight = 0.1
    noise: bool = False


class OGM(Strategy):
    """On-the-fly gradient modulation of Peng et al. 2022, arXiv:2203.15332, for ranking.

    A modality leads by r_m, the sum over the batch of sigma(s_ui - s_uj) with all others masked,
    over the mean of the same sum of the others. The gradients of its
    own parameters are multiplied by k_m = 1 - tanh(alpha r_m) when r_m > 1.

    Deviates: the paper's confidence in the true class is the confidence in the right order of
    a pair. Adam divides a lasting factor out again; only its changes and the noise remain.

    Raises:
        ValueError: The model has fewer than two modalities, or no parameter of one modality.
    """

    min_modalities: ClassVar[int] = 2

    def __init__(self, model: Recommender, params: OGMParams, pairs: KnownPairs) -> None:  # noqa: ARG002
        super().__init__(model)
        self.params = params
        groups = model.param_groups()
        self.groups = [groups.get(modality, []) for modality in model.modalities]
        if not any(self.groups):
            raise ValueError(
                "OGM scales gradients of parameters that belong to one modality; with these "
                "settings the model has none; choose the strategy ckd, gb or plain"
            )

    @torch.no_grad()
    def after_backward(self, batch: Batch) -> None:
        """Scale the gradients of each modality's parameters."""
        passes = Passes(self.model)
        confidence = torch.stack(
            [
                passes.margins(batch, frozenset({modality})).sigmoid().sum()
                for modality in self.model.modalities
            ]
        )
        scales = factors(confidence, self.params.strength)
        for group, factor in zip(self.groups, scales, strict=True):
            for parameter in group:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
                    if self.params.noise:
                        self._blur(parameter.grad, batch.generator)

    def _blur(self, gradient: Tensor, generator: torch.Generator) -> None:
        draw = torch.randn(gradient.shape, generator=generator, device=gradient.device)
        gradient.add_(draw * gradient.std(correction=0))


def factors(confidence: Tensor, strength: float) -> Tensor:
    """Return the factor of every modality's gradients from its confidence, [modalities]."""
    others = (confidence.sum() - confidence) / (len(confidence) - 1)
    lead = confidence / others
    return torch.where(lead > 1, 1 - torch.tanh(strength * lead), torch.ones_like(lead))

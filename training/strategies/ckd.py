"""CKD: counterfactual knowledge distillation from teachers of one modality each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Lt
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, relu

from models.inputs import ALL, Batch, Embeddings, Modality
from models.losses import margins
from models.params import Count, Params, Positive, Weight
from models.recommender import Recommender
from training.strategies.passes import Passes
from training.strategies.strategy import KnownPairs, Strategy, Teach

MIN_SPEED, MAX_SPEED = 1e-8, 10.0
SCALE_TRIPLES, SCALE_SEED = 20_000, 0

Momentum = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True)
class CKDParams(Params):
    """Parameters of `CKD`; the ablations of its Table 3 are named where they are set.

    Args:
        distill_weight: lambda_kd of Eq. 19.
        generic_weight: lambda_g of Eq. 14; 0 is "w/o Gen.".
        temperature: tau of Eq. 13.
        generic_triples: Triples drawn per step for Eq. 12, each of another user.
        specific: Loss on the training triples, Eq. 11; kl and mse are "repl. KL-divergence" and
            "repl. MSE", none leaves the generic one.
        reweighting: Learning speeds per batch (Eq. 15-17) or per triple, as the authors' code
            has them; none is "w/o re-weight".
        momentum: Share of the former speed in the running mean over batches.
        standardise: Measure margins in standard deviations of the teacher's, so that the
            weights and the temperature mean the same for every model.
        teacher_params: Parameters of the model, by name, that its teachers have instead of the
            run's. A student whom teachers hold back from overfitting wants a smaller penalty.
        teacher_training: The same for training settings.
    """

    distill_weight: Weight = 0.01
    generic_weight: Weight = 5.0
    temperature: Positive = 0.1
    generic_triples: Count = 5000
    specific: Literal["hinge", "kl", "mse", "none"] = "hinge"
    reweighting: Literal["batch", "triple", "none"] = "batch"
    momentum: Momentum = 0.9
    standardise: bool = False
    teacher_params: Mapping[str, object] = field(default_factory=dict)
    teacher_training: Mapping[str, object] = field(default_factory=dict)


class CKD(Strategy):
    """Counterfactual knowledge distillation of Zhang et al. 2024, arXiv:2408.06360, section 3.

    Teachers are the same model trained on one modality each (Eq. 8-9; `prepare`). The student's
    margins with all but one modality masked (Eq. 10) are to exceed the teacher's on training
    triples (Eq. 11) and to agree with it on random ones (Eq. 12-13). A modality that contributes
    little of what its teacher reaches is distilled more (Eq. 15-18). Loss: Eq. 19.

    Deviates: sums are means over triples; Eq. 13 uses the student's masked margin, as the
    authors' code does; Eq. 18's weights are scaled to sum to the number of modalities; the
    speeds of Eq. 17 are clamped to [1e-8, 10], as in the code, and averaged over batches; a
    teacher does not know the other modalities, where Eq. 8 masks them, and may have settings of
    its own.

    Raises:
        ValueError: The model has fewer than two modalities.
    """

    min_modalities: ClassVar[int] = 2

    def __init__(self, model: Recommender, params: CKDParams, pairs: KnownPairs) -> None:  # noqa: ARG002
        super().__init__(model)
        self.params = params
        self.teachers: dict[Modality, Embeddings] = {}
        self.scales: dict[Modality, Tensor] = {}
        self.speeds: Tensor | None = None

    def prepare(self, teach: Teach) -> None:
        """Get a teacher per modality, frozen."""
        device = next(self.model.parameters()).device
        for modality in self.model.modalities:
            vectors = teach(modality, self.params.teacher_params, self.params.teacher_training)
            self.teachers[modality] = Embeddings(
                vectors.users.detach().to(device), vectors.items.detach().to(device)
            )
            self.scales[modality] = self._scale(vectors).to(device)

    def _scale(self, teacher: Embeddings) -> Tensor:
        """Unit of margins: 1, or the standard deviation of the teacher's on random triples."""
        if not self.params.standardise:
            return torch.tensor(1.0)
        generator = torch.Generator().manual_seed(SCALE_SEED)
        users = torch.randint(self.model.num_users, (SCALE_TRIPLES,), generator=generator)
        items = torch.randint(self.model.num_items, (2, SCALE_TRIPLES), generator=generator)
        triples = Batch(users, items[0], items[1][:, None], generator)
        return margins(teacher, triples).std().clamp_min(MIN_SPEED)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the model's terms, `ckd_specific` and `ckd_generic`; their sum is Eq. 19."""
        params, modalities = self.params, self.model.modalities
        terms = dict(self.model.loss(batch))
        passes = Passes(self.model)
        student = [self._student(passes, batch, modality) for modality in modalities]
        teacher = [self._teacher(batch, modality) for modality in modalities]
        weights = self._weights(passes, batch, student, teacher)
        if params.specific != "none":
            each = [self._specific(s, t) for s, t in zip(student, teacher, strict=True)]
            terms["ckd_specific"] = (
                params.distill_weight * (weights * torch.stack(each)).mean((1, 2)).sum()
            )
        if params.generic_weight:
            triples = self._generic_triples(batch)
            each = [
                self._cross_entropy(
                    self._student(passes, triples, modality), self._teacher(triples, modality)
                ).mean()
                for modality in modalities
            ]
            # Weights per triple are those of the training triples; these get their mean.
            terms["ckd_generic"] = (
                params.distill_weight
                * params.generic_weight
                * (weights.mean((1, 2)) * torch.stack(each)).sum()
            )
        return terms

    def _student(self, passes: Passes, triples: Batch, modality: Modality) -> Tensor:
        return passes.margins(triples, frozenset({modality})) / self.scales[modality]

    def _teacher(self, triples: Batch, modality: Modality) -> Tensor:
        return margins(self.teachers[modality], triples) / self.scales[modality]

    def _specific(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Eq. 11 or what replaces it, per triple [batch, negatives]."""
        match self.params.specific:
            case "kl":
                return self._cross_entropy(student, teacher)
            case "mse":
                return (teacher - student).square()
            case _:
                return relu(teacher - student)

    def _cross_entropy(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Eq. 12-13 per triple: the KL divergence up to the teacher's constant entropy."""
        temperature = self.params.temperature
        return binary_cross_entropy_with_logits(
            student / temperature, (teacher / temperature).sigmoid(), reduction="none"
        )

    def _generic_triples(self, batch: Batch) -> Batch:
        """Draw users without and two items each with replacement, as the authors' code does."""
        generator, device = batch.generator, batch.users.device
        users = torch.randperm(self.model.num_users, generator=generator, device=device)
        users = users[: self.params.generic_triples]
        size = (2, len(users))
        items = torch.randint(self.model.num_items, size, generator=generator, device=device)
        return Batch(users, items[0], items[1][:, None], generator)

    @torch.no_grad()
    def _weights(
        self, passes: Passes, batch: Batch, student: list[Tensor], teacher: list[Tensor]
    ) -> Tensor:
        """Eq. 15-18: lambda of every modality, [modalities, 1, 1] or [modalities, batch, n]."""
        modalities = self.model.modalities
        if self.params.reweighting == "none":
            return student[0].new_ones(len(modalities), 1, 1)
        whole = passes.margins(batch, ALL)
        everything = frozenset(modalities)
        effects = [
            (whole - passes.margins(batch, everything - {modality})) / self.scales[modality]
            for modality in modalities
        ]
        if self.params.reweighting == "triple":
            # Eq. 17 as the authors' code has it: per triple, and over the student's own margin.
            return modality_weights(clamped(torch.stack(effects) / torch.stack(student)))
        reached = torch.stack([effect.mean() for effect in effects])
        possible = torch.stack([margin.mean() for margin in teacher]).clamp_min(MIN_SPEED)
        now = clamped(reached / possible)
        momentum = self.params.momentum
        self.speeds = now if self.speeds is None else momentum * self.speeds + (1 - momentum) * now
        return modality_weights(self.speeds)[:, None, None]

    def state(self) -> dict[str, Tensor]:
        """Return the running learning speeds."""
        return {} if self.speeds is None else {"speeds": self.speeds.detach().cpu().clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue with the learning speeds."""
        if "speeds" in state:
            self.speeds = state["speeds"].to(next(self.model.parameters()).device)


def clamped(speeds: Tensor) -> Tensor:
    """Keep learning speeds positive and finite; 0 / 0, a triple without contrast, is slowest."""
    return speeds.nan_to_num(nan=0.0).clamp(MIN_SPEED, MAX_SPEED)


def modality_weights(speeds: Tensor) -> Tensor:
    """Eq. 18, scaled so that the weights sum to the number of modalities, the first dimension."""
    count = len(speeds)
    return (1 - speeds / speeds.sum(0)) * count / (count - 1)

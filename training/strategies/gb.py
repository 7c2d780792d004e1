"""GB: gradient blending, losses of single modalities weighted by how well they generalise."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from models.inputs import ALL, Batch, Keep
from models.losses import bpr
from models.params import Count, Params, Share
from models.recommender import Recommender
from training.data.pairs import Pairs
from training.data.sampling import NegativeSampler
from training.strategies.passes import Passes
from training.strategies.strategy import KnownPairs, Strategy, Teach

MEASURED_PAIRS, MEASURE_SEED = 20_000, 0
LEAST_OVERFITTING = 1e-2
"""Change of the gap below which it says nothing; it keeps a weight from growing without end."""


@dataclass(frozen=True)
class GBParams(Params):
    """Parameters of `GB`.

    Args:
        estimate_every: Epochs between two estimates of the weights.
        floor: Share of the weights that is spread evenly, so that no head is given up.
    """

    estimate_every: Count = 5
    floor: Share = 0.1


class GB(Strategy):
    """Gradient blending of Wang et al. 2020, arXiv:1905.12681, for ranking.

    A head per modality, the BPR loss with all others masked, and the joint one, the model's own
    loss: L = sum_k w_k L_k, w_k proportional to G_k / O_k^2 and summing to 1. G is the
    decrease of a head's validation loss since the last estimate, O the growth of its gap between
    validation and training loss.

    Deviates: the paper estimates G and O on copies of the model that train one head each; here
    every head is measured in the one model, with the BPR loss on up to 20,000 pairs of each split
    with fixed negatives. A head that does not get better gets the floor, O counts as 0.01 at
    least, and the weights stay when no head got better.

    Raises:
        ValueError: The model has fewer than two modalities.
    """

    min_modalities: ClassVar[int] = 2

    def __init__(self, model: Recommender, params: GBParams, pairs: KnownPairs) -> None:
        super().__init__(model)
        self.params = params
        self.heads: tuple[Keep, ...] = (*(frozenset({m}) for m in model.modalities), ALL)
        self.weights = torch.full((len(self.heads),), 1 / len(self.heads))
        self.losses: Tensor | None = None
        sampler = NegativeSampler(pairs.train, model.num_users, model.num_items)
        self._measured = tuple(_sample(one, sampler) for one in (pairs.train, pairs.validation))

    def prepare(self, teach: Teach) -> None:  # noqa: ARG002  # it has no teachers
        """Move what is measured to the model's device."""
        device = next(self.model.parameters()).device
        self.weights = self.weights.to(device)
        self._measured = tuple(_moved(batch, device) for batch in self._measured)

    def start_epoch(self, epoch: int) -> None:  # noqa: ARG002
        """Measure the untrained model, once."""
        if self.losses is None:
            self.losses = self.measure()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the model's terms and one per modality, `gb_<modality>`, all weighted."""
        terms = {name: self.weights[-1] * term for name, term in self.model.loss(batch).items()}
        passes = Passes(self.model)
        for number, modality in enumerate(self.model.modalities):
            head = -logsigmoid(passes.margins(batch, self.heads[number])).mean()
            terms[f"gb_{modality}"] = self.weights[number] * head
        return terms

    def end_epoch(self, epoch: int) -> None:
        """Estimate the weights anew when it is their turn."""
        if (epoch + 1) % self.params.estimate_every:
            return
        assert self.losses is not None
        now = self.measure()
        found = blend(self.losses, now, self.params.floor)
        self.losses = now
        if found is not None:
            self.weights = found

    @torch.no_grad()
    def measure(self) -> Tensor:
        """Return the losses on training (0) and validation pairs (1), [2, heads]."""
        was_training = self.model.training
        self.model.eval()
        vectors = [self.model.embed(keep) for keep in self.heads]
        losses = [torch.stack([bpr(each, batch) for each in vectors]) for batch in self._measured]
        self.model.train(was_training)
        return torch.stack(losses)

    def state(self) -> dict[str, Tensor]:
        """Return the weights and the losses of the last estimate."""
        state = {"weights": self.weights.cpu().clone()}
        if self.losses is not None:
            state["losses"] = self.losses.cpu().clone()
        return state

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue with the weights and losses."""
        if "losses" in state:
            device = self.weights.device
            self.weights, self.losses = state["weights"].to(device), state["losses"].to(device)


def blend(before: Tensor, now: Tensor, floor: float) -> Tensor | None:
    """Return the weights, [heads], from losses on training and validation pairs, [2, heads].

    None when no head's validation loss fell.
    """
    gain = (before[1] - now[1]).clamp_min(0.0)
    overfitting = (now[1] - now[0]) - (before[1] - before[0])
    share = gain / overfitting.abs().clamp_min(LEAST_OVERFITTING).square()
    if not bool(share.any()):
        return None
    return floor / len(share) + (1 - floor) * share / share.sum()


def _sample(pairs: Pairs, sampler: NegativeSampler) -> Batch:
    generator = torch.Generator().manual_seed(MEASURE_SEED)
    chosen = torch.randperm(len(pairs), generator=generator)[:MEASURED_PAIRS]
    users = torch.from_numpy(pairs.user_rows)[chosen]
    items = torch.from_numpy(pairs.item_rows)[chosen]
    return Batch(users, items, sampler.sample(users, 1, generator), generator)


def _moved(batch: Batch, device: torch.device) -> Batch:
    users, positives, negatives = (
        rows.to(device) for rows in (batch.users, batch.positive_items, batch.negative_items)
    )
    return Batch(users, positives, negatives, batch.generator)

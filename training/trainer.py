"""The one training loop. It knows no model and no strategy by name."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from models.inputs import Batch
from models.recommender import Recommender
from training.checkpoint import Checkpoint
from training.component_weights import weigh_components
from training.config import TrainingConfig
from training.data.sampling import NegativeSampler, batches, user_uniform_batches
from training.data.splits import Pairs
from training.errors import TrainingDiverged
from training.evaluation import Metrics, evaluate
from training.strategies.strategy import Strategy

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpochReport:
    """What an epoch did; `metrics` is empty when the epoch was not evaluated.

    `terms` are means over the epoch's batches; times are in seconds.
    """

    epoch: int
    terms: dict[str, float]
    metrics: dict[str, float]
    best: float
    train_s: float
    evaluate_s: float


class Storage(Protocol):
    """Where a run keeps its state; see `training.run_folder.RunFolder`."""

    def load_checkpoint(self) -> Checkpoint | None:
        """Return the newest complete checkpoint, None when there is none."""

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint atomically."""

    def append_report(self, report: EpochReport) -> None:
        """Add the epoch to the metrics log."""


@dataclass(frozen=True)
class Fitted:
    """The outcome: the best epoch, its validation metrics, and the epochs run in all.

    The model itself carries the best epoch's state.
    """

    best_epoch: int
    num_epochs: int
    metrics: Metrics


class Trainer:
    """Trains one model on one split.

    Args:
        strategy: Turns the model into loss terms; a model without parameters is only evaluated.
        train: Training pairs.
        validation: Pairs of the validation split. The test split is not known here.
        config: Training settings.
        seed: Seed of everything random; every epoch has a generator of its own, derived from
            it, so that a resumed run continues as if it had never stopped.
        storage: Where checkpoints and reports go.
        device: Where to train.
    """

    def __init__(
        self,
        strategy: Strategy,
        train: Pairs,
        validation: Pairs,
        config: TrainingConfig,
        seed: int,
        storage: Storage,
        device: torch.device | str = "cpu",
    ) -> None:
        self.strategy = strategy
        self.model: Recommender = strategy.model.to(device)
        self.train = train
        self.validation = validation
        self.config = config
        self.seed = seed
        self.storage = storage
        self.device = torch.device(device)
        self.sampler = NegativeSampler(train, self.model.num_users, self.model.num_items)
        parameters = list(self.model.parameters())
        self.optimizer = (
            torch.optim.Adam(parameters, config.learning_rate, fused=True) if parameters else None
        )

    def fit(self, report: Callable[[EpochReport], None] = lambda _: None) -> Fitted:
        """Train until the validation metric stops rising.

        Raises:
            TrainingDiverged: A loss term is not finite; nothing of that batch is kept.
        """
        torch.set_num_threads(self.config.num_threads)
        if self.optimizer is None:
            metrics = self.evaluate()
            best = metrics.means[self.config.metric]
            self._report(EpochReport(0, {}, metrics.means, best, 0.0, 0.0), report)
            return Fitted(0, 0, metrics)
        state = self._resume()
        started = time.monotonic() - state.seconds
        while not self._finished(state, time.monotonic() - started):
            state = self._run_epoch(state, started, report)
        self.model.load_state_dict(state.best_model)
        weigh_components(self.model, self.train, self.validation)
        return Fitted(state.best_epoch, state.epoch + 1, self.evaluate())

    def evaluate(self) -> Metrics:
        """Measure the model on the validation split."""
        self.model.eval()
        return evaluate(
            self.model.scorer(),
            self.validation,
            self.train,
            self.model.num_users,
            device=self.device,
        )

    def _resume(self) -> Checkpoint:
        found = self.storage.load_checkpoint()
        if found is None:
            state = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
            return Checkpoint(-1, -1, -1.0, 0, 0.0, state, state, {})
        self.model.load_state_dict(found.model)
        _restore(self.optimizer, list(self.model.parameters()), found.optimizer)
        self.strategy.restore(found.strategy)
        logger.info("resumed after epoch=%d best=%.4f", found.epoch, found.best)
        return found

    def _finished(self, state: Checkpoint, seconds: float) -> bool:
        config = self.config
        return (
            state.epoch + 1 >= config.max_epochs
            or state.stale >= config.patience
            or 0.0 < config.max_seconds <= seconds
        )

    def _run_epoch(
        self, state: Checkpoint, started: float, report: Callable[[EpochReport], None]
    ) -> Checkpoint:
        config, epoch = self.config, state.epoch + 1
        begin = time.monotonic()
        terms = self._train_epoch(epoch)
        trained = time.monotonic()
        out_of_time = 0.0 < config.max_seconds <= trained - started
        last = epoch + 1 >= config.max_epochs or out_of_time
        if not last and (epoch + 1) % config.eval_every:
            self._report(EpochReport(epoch, terms, {}, state.best, trained - begin, 0.0), report)
            return state.advanced(epoch)
        means = self.evaluate().means
        value = means[config.metric]
        model = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        improved = value > state.best
        state = Checkpoint(
            epoch=epoch,
            best_epoch=epoch if improved else state.best_epoch,
            best=max(value, state.best),
            stale=0 if improved else state.stale + 1,
            seconds=time.monotonic() - started,
            model=model,
            best_model=model if improved else state.best_model,
            optimizer=_moments(self.optimizer, list(self.model.parameters())),
            strategy=self.strategy.state(),
        )
        self._report(
            EpochReport(
                epoch, terms, means, state.best, trained - begin, time.monotonic() - trained
            ),
            report,
        )
        self.storage.save_checkpoint(state)
        return state

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        config = self.config
        self.model.train()
        seed = np.random.SeedSequence([self.seed, epoch]).generate_state(1, np.uint64)[0]
        generator = torch.Generator(self.device).manual_seed(int(seed >> np.uint64(1)))
        self.model.refresh(epoch, generator)
        self.strategy.start_epoch(epoch)
        assert self.optimizer is not None
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * config.learning_rate_decay ** (epoch / 50)
        sums: dict[str, Tensor] = {}
        count = 0
        for count, batch in enumerate(self._batches(generator), start=1):
            terms = self.strategy.loss(batch)
            total = torch.stack(list(terms.values())).sum()
            if not torch.isfinite(total):
                raise TrainingDiverged(
                    epoch, count - 1, {k: float(v.detach()) for k, v in terms.items()}
                )
            self.optimizer.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]  # torch ships it without types
            self.strategy.after_backward(batch)
            self.optimizer.step()
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach()
        self.strategy.end_epoch(epoch)
        return {name: float(value) / max(count, 1) for name, value in sums.items()}

    def _batches(self, generator: torch.Generator) -> Iterator[Batch]:
        config = self.config
        if config.sampling == "pairs":
            drawn = batches(self.train, config.batch_size, generator)
        else:
            drawn = user_uniform_batches(
                self.train, self.model.num_users, config.batch_size, generator
            )
        for users, items in drawn:
            negatives = self.sampler.sample(users, config.num_negatives, generator)
            yield Batch(users, items, negatives, generator)

    def _report(self, entry: EpochReport, report: Callable[[EpochReport], None]) -> None:
        self.storage.append_report(entry)
        report(entry)


def _moments(
    optimizer: torch.optim.Optimizer | None, parameters: list[torch.nn.Parameter]
) -> dict[str, Tensor]:
    """Return Adam's state as named tensors: `<parameter number>.<state name>`."""
    assert optimizer is not None
    return {
        f"{number}.{name}": value.detach().cpu().clone()
        for number, parameter in enumerate(parameters)
        for name, value in optimizer.state[parameter].items()
    }


def _restore(
    optimizer: torch.optim.Optimizer | None,
    parameters: list[torch.nn.Parameter],
    moments: dict[str, Tensor],
) -> None:
    assert optimizer is not None
    for key, value in moments.items():
        number, name = key.split(".", 1)
        parameter = parameters[int(number)]
        optimizer.state[parameter][name] = value.to(parameter.device)

"""The models that the replay moves, trained before the window and again with its events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.replay import Replay
from benchmarks.speed import Discard
from service.artifact import (
    Artifact,
    ArtifactDraft,
    Block,
    DatasetRef,
    Member,
    load_artifact,
    write_artifact,
)
from training.config import TrainingConfig
from training.data.dataset import Dataset
from training.data.splits import Pairs
from training.ensemble import Ensemble, MemberVectors, concat
from training.inputs import build_inputs
from training.registry import build_model, parse_params
from training.strategies.strategy import Strategy
from training.trainer import Trainer

SETTINGS: Mapping[str, Mapping[str, object]] = {
    "ease": {},
    "lightgcn": {"reg_weight": 1e-3},
    "bpr": {"reg_weight": 1e-2},
}
_TRAINING = TrainingConfig(
    learning_rate=5e-3, max_epochs=60, eval_every=5, patience=2, num_threads=1
)
_VALIDATION_SHARE = 0.05


@dataclass(frozen=True)
class Learned:
    """A model trained before the window, and again per case by the case's name."""

    before: MemberVectors
    again: Mapping[str, MemberVectors]


def learn(name: str, dataset: Dataset, run: Replay, *, again: bool) -> Learned:
    """Train a model; the same pairs of the time before the window stop every training early.

    Args:
        name: Registry name, one of `SETTINGS`.
        dataset: The dataset.
        run: The replay.
        again: Train it again for every case, with what the case's users did.
    """
    draw = np.random.default_rng(1).random(len(run.trained.user_rows)) < _VALIDATION_SHARE
    users, items = run.trained.user_rows, run.trained.item_rows
    validation, rest = Pairs.of(users[draw], items[draw]), Pairs.of(users[~draw], items[~draw])
    cases = run.cases if again else ()
    return Learned(
        _train(name, dataset, rest, validation),
        {
            case.name: _train(name, dataset, united(rest, case.observed), validation)
            for case in cases
        },
    )


def united(one: Pairs, other: Pairs) -> Pairs:
    """Return the pairs of both."""
    return Pairs.of(
        np.concatenate([one.user_rows, other.user_rows]),
        np.concatenate([one.item_rows, other.item_rows]),
    )


def served(dataset: Dataset, run: Replay, ensemble: Ensemble, folder: Path) -> Artifact:
    """Publish an ensemble for the users it was trained on, and load it as the service does."""
    known = np.unique(run.trained.user_rows)
    draft = ArtifactDraft(
        dataset=DatasetRef(name=dataset.name, fingerprint=dataset.fingerprint),
        split="time",
        ensemble=ensemble.method,
        members=[Member(model=block.name) for block in ensemble.blocks],
        blocks=[
            Block(
                name=block.name,
                kind="learned" if block.factors is None else "factors",
                offset=block.offset,
                width=block.width,
                weight=block.weight,
                zscore=True,
            )
            for block in ensemble.blocks
        ],
        users=ensemble.users.numpy()[known],
        items=ensemble.items.numpy(),
        user_ids=[str(row) for row in known],
        item_ids=[str(row) for row in range(dataset.num_items)],
        popularity=np.bincount(run.trained.item_rows, minlength=dataset.num_items).astype(float),
        seen_indptr=np.zeros(len(known) + 1, np.int64),
        seen_indices=np.zeros(0, np.int32),
        covariances={block.name: block.covariance.numpy() for block in ensemble.blocks},
        factors={
            block.name: block.factors.numpy()
            for block in ensemble.blocks
            if block.factors is not None
        },
    )
    return load_artifact(folder, "default", write_artifact(folder, "default", draft))


def together(members: Sequence[MemberVectors]) -> Ensemble:
    """Return the ensemble of members with equal weights."""
    return concat(members, [1.0] * len(members))


def _train(name: str, dataset: Dataset, pairs: Pairs, validation: Pairs) -> MemberVectors:
    inputs = build_inputs(dataset, pairs, ())
    model = build_model(name, parse_params(name, SETTINGS[name]), inputs, 0)
    Trainer(Strategy(model), pairs, validation, _TRAINING, 0, Discard()).fit()
    with torch.no_grad():
        vectors, factors = model.embed(), model.item_factors()
    return MemberVectors(name, vectors.users.detach(), vectors.items.detach(), factors)

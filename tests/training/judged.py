"""Versions of a small catalogue to be judged by the gate."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mutualrec.as_served import AsServed
from service.artifact import Artifact, ArtifactDraft, GateCheck, GateReport
from training.candidate import write_as_trained
from training.config import RunConfig, TrainingConfig
from training.data.dataset import Dataset
from training.data.pairs import Pairs
from training.data.splits import known_pairs, make_split
from training.ensemble_folder import build_ensemble
from training.gate.holdout import Holdout, hold_out
from training.gate.judge import judge
from training.gate.limits import Limits
from training.publish import Base, draft_version
from training.run_folder import RunFolder
from training.runs import train_run

SPLIT = "leave_last_out_validation"
CONFIG = RunConfig(
    model="itemcf", params={"rank": 16}, split=SPLIT, training=TrainingConfig(num_threads=1)
)


def until(dataset: Dataset, share: float) -> Dataset:
    """Return the oldest share of a dataset's events, with all users and items."""
    events = dataset.interactions
    assert events.timestamps is not None
    old = events.timestamps <= np.quantile(events.timestamps, share)
    interactions = replace(
        events,
        user_rows=events.user_rows[old],
        item_rows=events.item_rows[old],
        timestamps=events.timestamps[old],
        types=events.types[old],
        values=events.values[old],
        labels=None,
    )
    return replace(dataset, interactions=interactions, fingerprint=f"{share}")


def shuffled(draft: ArtifactDraft) -> ArtifactDraft:
    """Give every item the vector of another one."""
    order = np.random.default_rng(0).permutation(len(draft.items))
    factors = {name: values[order] for name, values in draft.factors.items()}
    return replace(draft, items=draft.items[order], factors=factors)


def popularity_only(draft: ArtifactDraft) -> ArtifactDraft:
    """One column counts; every user has the same order, and events change nothing."""
    items = np.zeros_like(draft.items)
    items[:, 0] = draft.popularity
    users = np.zeros_like(draft.users)
    users[:, 0] = np.linalg.norm(draft.users, axis=1)
    factors = dict.fromkeys(draft.factors, items)
    covariances = {name: np.cov(items.T, bias=True).astype(np.float32) for name in draft.factors}
    return replace(draft, items=items, users=users, factors=factors, covariances=covariances)


@dataclass
class Judging:
    """A folder to write versions into, the data they are judged by, and how they are trained."""

    dataset: Dataset
    folder: Path
    config: RunConfig = CONFIG

    def draft(self, learned: Dataset) -> tuple[ArtifactDraft, Pairs]:
        """Train on some of the data; also return the pairs that were trained on."""
        path = self.folder / learned.fingerprint
        run = RunFolder(path / "itemcf")
        train_run(learned, self.config, run)
        chosen = build_ensemble(learned, [run], path / "ensemble", weights=[1.0])
        base = Base(self.folder, learned.fingerprint)
        return draft_version(self.dataset, chosen, base, {}), make_split(learned, SPLIT, 0).train

    def champion(self, share: float) -> Artifact:
        """Return a version that knows and has learned from the oldest share of the data."""
        learned = until(self.dataset, share)
        draft, _ = self.draft(learned)
        known = known_pairs(learned)
        nothing = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
        return self.write(draft, known, Holdout(self.dataset, nothing, known))

    def write(self, draft: ArtifactDraft, trained: Pairs, holdout: Holdout) -> Artifact:
        return write_as_trained(draft, holdout, trained, self.folder / "versions", "default")

    def judge(
        self,
        champion: Artifact,
        holdout: Holdout,
        learned: Dataset,
        limits: Limits,
        change: Callable[[ArtifactDraft], ArtifactDraft] = lambda draft: draft,
    ) -> GateReport:
        draft, trained = self.draft(learned)
        candidate = self.write(change(draft), trained, holdout)
        return judge(champion, candidate, holdout, AsServed, limits)

    def hold_out(self, champion: Artifact, limits: Limits) -> Holdout:
        return hold_out(self.dataset, champion, limits)


def check(report: GateReport, name: str) -> GateCheck:
    """Return the check of a report that has this name."""
    return next(one for one in report.checks if one.name == name)

"""The gate on what people really did: worse candidates planted beside a champion of movielens-100k.

The champion learned from the oldest 80 % of the ratings; what came after is the holdout and, for an
honest candidate, more to learn from. The figures that `-s` prints are in docs/retraining.md.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from judged import CONFIG, Judging, check, popularity_only, shuffled, until

from service.artifact import ArtifactDraft, GateReport
from training.data.dataset import Dataset, read_dataset
from training.data.importers.movielens import import_movielens
from training.gate.holdout import training_part
from training.gate.limits import Limits

pytestmark = pytest.mark.real_data

LIMITS = Limits(latency_floor_ms=1e6)
DAY_MS = 86_400_000

Change = Callable[[ArtifactDraft], ArtifactDraft]


class World:
    """A champion, and candidates that are judged beside it."""

    def __init__(self, source: Path, folder: Path) -> None:
        import_movielens(source, folder / "dataset")
        self.dataset = read_dataset(folder / "dataset")
        config = replace(CONFIG, params={"rank": 256})
        self.judging = Judging(self.dataset, folder / "judging", config)
        self.champion = self.judging.champion(0.8)
        self.holdout = self.judging.hold_out(self.champion, LIMITS)

    def judge(self, name: str, learned: Dataset | None = None, *change: Change) -> GateReport:
        learned = training_part(self.holdout) if learned is None else learned
        report = self.judging.judge(self.champion, self.holdout, learned, LIMITS, *change)
        failed = [one.name for one in report.checks if not one.passed]
        print(f"\n{name}: {check(report, 'ndcg@20').reason}; failed: {failed}")  # noqa: T201
        return report

    def without_the_last(self, days: int) -> Dataset:
        times = self.dataset.interactions.timestamps
        assert times is not None
        return until(self.dataset, float((times <= times.max() - days * DAY_MS).mean()))


@pytest.fixture(scope="module")
def world(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(real_data / "movielens-100k", tmp_path_factory.mktemp("gate"))


def test_a_candidate_that_learned_what_is_new_is_let_through(world):
    assert world.judge("all that is known").passed


def test_shuffled_vectors_are_refused(world):
    report = world.judge("shuffled vectors", None, shuffled)
    assert check(report, "ndcg@20").high < 0
    assert report.refused


def test_a_ranking_by_popularity_alone_is_refused(world):
    assert world.judge("popularity alone", None, popularity_only).refused


@pytest.mark.parametrize(
    ("days", "is_refused"), [(60, False), (120, False), (150, True), (180, True)]
)
def test_a_candidate_of_stale_data_is_refused_when_it_is_worse_beyond_chance(
    world, days, is_refused
):
    report = world.judge(f"the last {days} days missing", world.without_the_last(days))
    assert report.refused == is_refused
    assert check(report, "ndcg@20").passed != is_refused

"""The replay asks the right users for the right pairs, and moving vectors pays on planted data."""

import numpy as np
import pytest

from benchmarks.fold_in import compare, compare_rules
from benchmarks.fold_in_models import learn
from benchmarks.replay import Replay, replay
from training.data.dataset import Dataset


@pytest.fixture(scope="module")
def run(demo: Dataset) -> Replay:
    return replay(demo, 0.5, 1.0)


def test_new_users_were_not_trained_on_and_returning_ones_were(run: Replay) -> None:
    known = set(run.trained.user_rows.tolist())
    found = {case.name: set(case.relevant.user_rows.tolist()) <= known for case in run.cases}
    assert found == {case.name: not case.is_new for case in run.cases}


def test_nothing_is_asked_for_that_was_observed(run: Replay) -> None:
    for case in run.cases:
        pairs = [
            list(zip(p.user_rows, p.item_rows, strict=True)) for p in (case.observed, case.relevant)
        ]
        assert not set(pairs[0]) & set(pairs[1])


def test_returning_users_are_asked_for_the_later_half(run: Replay) -> None:
    case = run.cases[-1]
    observed, relevant = (np.bincount(p.user_rows) for p in (case.observed, case.relevant))
    assert set((relevant - observed).tolist()) <= {0, 1}


def test_every_way_and_every_rule_is_measured(demo: Dataset, run: Replay) -> None:
    whole = learn("ease", demo, run, again=True)
    rows = compare(demo, run, "ease", [whole])
    found = {row.setting: row.value for row in rows if row.metric == "recall@20"}
    assert found["returning users: moved"] > 0
    assert set(found) >= {f"returning users: {way}" for way in ("not moved", "trained again")}
    rules = compare_rules(demo, run, "ease", [whole])
    assert "choosing, returning users: prior 3" in {row.setting for row in rules}

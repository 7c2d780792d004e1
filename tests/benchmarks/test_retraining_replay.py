"""The replay with and without retraining: what is known when, and what becomes of the figures."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.retraining_picture import BENCHMARK, METRIC, WAYS, draw_replay, step_setting
from benchmarks.retraining_replay import NEVER, RETRAINED, Recalls, rows_of
from benchmarks.time_steps import cut
from training.data.dataset import read_dataset, read_draft
from training.data.importers.demo import import_demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay") / "demo"
    import_demo(folder, num_users=60, num_items=50, seed=1)
    return folder


def test_the_first_part_and_the_steps_are_all_events_in_order(demo: Path, tmp_path: Path):
    steps = cut(demo, 0.5, 4, tmp_path / "first")
    first = read_draft(tmp_path / "first").interactions
    events = [event for step in steps for event in step.events]
    assert len(first) + len(events) == len(read_draft(demo).interactions)
    times = [int(event.timestamp) for event in events]
    assert times == sorted(times)
    assert first["timestamp"].max() <= times[0]
    assert len({event.event_id for event in events}) == len(events)


def test_the_first_version_knows_nobody_and_nothing_that_comes_later(demo: Path, tmp_path: Path):
    steps = cut(demo, 0.2, 4, tmp_path / "first")
    dataset = read_dataset(tmp_path / "first")
    first = read_draft(tmp_path / "first").interactions
    assert set(dataset.users.ids_tuple) == set(first["user_id"])
    assert set(dataset.items.ids_tuple) == set(first["item_id"])
    assert steps[0].known == frozenset(first["user_id"])


def test_what_a_user_had_before_is_not_to_be_found_again(demo: Path, tmp_path: Path):
    steps = cut(demo, 0.5, 4, tmp_path / "first")
    first = read_draft(tmp_path / "first").interactions
    before = set(first.select("user_id", "item_id").iter_rows())
    again = [
        pair
        for step in steps
        for pair in ((user, item) for user, items in step.relevant.items() for item in items)
        if pair in before
    ]
    assert again == []


def test_the_rows_compare_users_in_pairs_from_the_second_step_on(tmp_path: Path):
    known = [np.array([True, False])] * 3
    one, half = np.array([1.0, 0.5]), np.array([0.5, 0.5])
    measured = {
        RETRAINED: Recalls([half, one, one], known),
        NEVER: Recalls([half, half, half], known),
    }
    rows = rows_of("tiny", "bpr", measured, [0, 20, 0])
    found = {(row.setting, row.metric): row.value for row in rows}
    assert found[step_setting(2, WAYS[0]), METRIC] == 0.75
    assert found["steps 2 to 3, all users", f"{METRIC}_lift_percent"] == 50.0
    assert found["steps 2 to 3, known users", f"{METRIC}_lift_percent"] == 100.0
    assert found["of 3 retrainings", "promoted"] == 2.0
    assert {row.benchmark for row in rows} == {BENCHMARK}
    draw_replay([vars(row) for row in rows], tmp_path / "a.svg")
    draw_replay([vars(row) for row in rows], tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from shop import LENIENT, REFUSING

from models.params import ItemRows, UserRows
from service.events import digest_of
from training.data.dataset import Dataset
from training.data.identifiers import IdMap
from training.data.splits import known_pairs, make_split
from training.job import Policy
from training.run_folder import RunFolder
from training.runs import train_run
from training.validating import labelled, newest_of_users
from training.warm_start import WarmStart, carry_over, find_runs, warm_start

pytestmark = pytest.mark.any_server


class Small(torch.nn.Module):
    def __init__(self, users: int, items: int, width: int = 2) -> None:
        super().__init__()
        self.users = UserRows(torch.full((users, width), -1.0))
        self.trust = ItemRows(torch.full((items,), -1.0))
        self.weight = torch.nn.Parameter(torch.full((width, width), -1.0))
        self.register_buffer("counts", torch.full((4,), -1))


def named(users: list[str], items: list[str], dataset: Dataset) -> Dataset:
    return replace(dataset, users=IdMap(users), items=IdMap(items))


def test_rows_are_matched_by_id_and_new_ones_begin_as_usual(demo_dataset):
    state = {
        "users": torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]),
        "trust": torch.tensor([5.0, 6.0]),
        "weight": torch.ones(2, 2),
        "counts": torch.zeros(4, dtype=torch.int64),
    }
    warm = WarmStart(state, ("a", "removed", "c"), ("x", "y"))
    model = Small(3, 3)
    carried = carry_over(model, warm, named(["c", "new", "a"], ["new", "y", "x"], demo_dataset))
    assert carried == 3
    assert model.users.tolist() == [[3.0, 3.0], [-1.0, -1.0], [1.0, 1.0]]
    assert model.trust.tolist() == [-1.0, 6.0, 5.0]
    assert model.weight.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    # Buffers are made from the data, not learned.
    assert model.counts.tolist() == [-1] * 4


def test_a_row_that_was_never_trained_begins_as_usual(demo_dataset):
    warm = WarmStart({"users": torch.tensor([[0.0, 0.0], [2.0, 0.0]])}, ("a", "b"), ())
    model = Small(2, 1)
    carry_over(model, warm, named(["a", "b"], ["x"], demo_dataset))
    assert model.users.tolist() == [[-1.0, -1.0], [2.0, 0.0]]


class FinishedRun:
    def model_state(self):
        return {
            "users": torch.tensor([[1.0, 1.0], [2.0, 2.0]]),
            "trust": torch.tensor([5.0, 6.0]),
        }


class Champion:
    user_ids = ("ann", "bob")
    item_ids = ("vase", "lamp")


def test_who_was_erased_and_came_back_begins_as_usual(demo_dataset):
    erased = {digest_of("ann"): 1}, {digest_of("vase"): 1}
    warm = warm_start(FinishedRun(), Champion(), erased)
    model = Small(2, 2)
    carry_over(model, warm, named(["ann", "bob"], ["vase", "lamp"], demo_dataset))
    assert model.users.tolist() == [[-1.0, -1.0], [2.0, 2.0]]
    assert model.trust.tolist() == [-1.0, 6.0]


def test_parameters_of_another_shape_begin_as_usual(demo_dataset):
    state = {"users": torch.ones(1, 9), "weight": torch.ones(3, 2), "unknown": torch.ones(1)}
    model = Small(1, 1)
    assert carry_over(model, WarmStart(state, ("a",), ()), named(["a"], ["x"], demo_dataset)) == 0
    assert model.weight.unique().tolist() == [-1.0]


def test_a_training_that_begins_warm_is_better_after_one_epoch(
    demo_dataset, run_config, tmp_path: Path
):
    long, cold, warm = (RunFolder(tmp_path / name) for name in ("long", "cold", "warm"))
    train_run(demo_dataset, run_config("bpr", max_epochs=60, eval_every=20), long)
    short = run_config("bpr", max_epochs=1, eval_every=1)
    start = WarmStart(
        long.model_state(), demo_dataset.users.ids_tuple, demo_dataset.items.ids_tuple
    )
    after_cold = train_run(demo_dataset, short, cold).validation["recall@20"]
    after_warm = train_run(demo_dataset, short, warm, warm=start).validation["recall@20"]
    assert after_warm > after_cold


def begins(shop, number: int, policy: Policy = LENIENT) -> str:
    """Retrain on new events; tell how the first member began."""
    told = []
    shop.post_many(number)
    shop.retrain(policy=policy, announce=told.append)
    return next(step.what for step in told if "bpr" in step.what)


def warm_in_manifest(shop) -> bool:
    return shop.artifact.manifest.gate.warm


def test_every_second_training_begins_anew_when_asked_to(shop):
    policy = replace(LENIENT, full_every=2)
    assert begins(shop, 1, policy) == "train 0-bpr"
    assert begins(shop, 2, policy) == "train 0-bpr, warm"
    assert warm_in_manifest(shop)
    assert begins(shop, 3, policy) == "train 0-bpr"


def test_after_a_refusal_the_next_training_begins_anew(shop):
    assert begins(shop, 1) == "train 0-bpr"
    assert begins(shop, 2, REFUSING) == "train 0-bpr, warm"
    assert begins(shop, 3) == "train 0-bpr"
    assert not warm_in_manifest(shop)


def test_a_warm_training_takes_new_users_and_items_in(shop):
    begins(shop, 1)
    shop.post(
        {"user_id": "newcomer", "item_id": "item-001"},
        {"user_id": "newcomer", "item_id": "never seen before"},
    )
    assert begins(shop, 2) == "train 0-bpr, warm"
    assert shop.seen("newcomer") == {"item-001", "never seen before"}


@pytest.mark.parametrize("fatal", ["train 1-itemcf", "judge the candidate"])
def test_a_warm_training_that_was_killed_goes_on(shop, fatal):
    def die(step):
        if step.what == fatal:
            raise KeyboardInterrupt

    begins(shop, 1)
    shop.post_many(2)
    with pytest.raises(KeyboardInterrupt):
        shop.retrain(policy=LENIENT, announce=die)
    assert shop.retrain(policy=LENIENT).version == shop.current
    assert warm_in_manifest(shop)


def test_the_last_duration_of_a_step_is_told(shop):
    begins(shop, 1)
    shop.post_many(2)
    told = []
    shop.retrain(policy=LENIENT, announce=told.append)
    assert [step.last_s is not None for step in told if "train" in step.what] == [True, True]


def validated_on(shop) -> set[tuple[str, str]]:
    """The pairs that the current version was validated on."""
    folder = find_runs(shop.home / "retraining", shop.current)
    rows = load_file(folder / "validation.safetensors")
    artifact = shop.artifact
    return {
        (artifact.user_ids[user], artifact.item_ids[item])
        for user, item in zip(rows["user_rows"].tolist(), rows["item_rows"].tolist(), strict=True)
    }


def test_a_warm_training_validates_on_nothing_that_its_parameters_were_trained_on(shop):
    begins(shop, 1)
    first = validated_on(shop)
    shop.post(*({"user_id": "newcomer", "item_id": f"item-{n:03d}"} for n in range(1, 13)))
    # More new pairs, so that the newcomer keeps three after the newest half was held out.
    begins(shop, 2)
    assert warm_in_manifest(shop)
    added = validated_on(shop) - first
    assert first <= validated_on(shop)
    assert {user for user, _ in added} <= {"newcomer"}
    # One that begins anew takes the newest of everyone again.
    begins(shop, 3, replace(LENIENT, full_every=1))
    assert not first <= validated_on(shop)


def test_users_of_unknown_times_are_validated_on_a_drawn_pair_each(demo_dataset):
    timeless = replace(
        demo_dataset, interactions=replace(demo_dataset.interactions, timestamps=None)
    )
    drawn = newest_of_users(timeless)
    assert len(drawn) == len(np.unique(drawn.user_rows)) > 100
    split = make_split(labelled(timeless, drawn), "retraining", 0)
    assert split.validation.user_rows.tolist() == drawn.user_rows.tolist()
    assert split.validation.item_rows.tolist() == drawn.item_rows.tolist()
    assert len(split.train) + len(drawn) == len(known_pairs(timeless))
    assert len(split.test) == 0

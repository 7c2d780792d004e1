from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from training.config import RunConfig, TrainingConfig
from training.data.dataset import Dataset
from training.ensemble import MemberVectors, average, choose_weights, concat
from training.ensemble_folder import build_ensemble, evaluate_ensemble, read_ensemble
from training.errors import DataError, SplitLeakage
from training.run_folder import RunFolder
from training.runs import train_run


def vectors(name: str, seed: int, width: int = 6, scale: float = 1.0) -> MemberVectors:
    generator = torch.Generator().manual_seed(seed)
    return MemberVectors(
        name,
        scale * torch.randn(9, width, generator=generator),
        torch.randn(40, width, generator=generator),
    )


def scores(member: MemberVectors) -> torch.Tensor:
    return member.users @ member.items.T


def test_concat_is_the_weighted_sum_of_each_users_standardised_scores() -> None:
    first, second = vectors("a", 1), vectors("b", 2, width=4, scale=30.0)
    made = concat([first, second], [1.0, 0.5])
    expected = sum(
        weight * scores(m) / scores(m).std(1, correction=0, keepdim=True)
        for m, weight in ((first, 1.0), (second, 0.5))
    )
    torch.testing.assert_close(made.users @ made.items.T, expected)


def test_concat_drops_members_of_weight_zero() -> None:
    made = concat([vectors("a", 1), vectors("b", 2)], [0.0, 2.0])
    assert [block.name for block in made.blocks] == ["b"]
    assert made.items.shape == (40, 6)


def test_concat_keeps_a_user_without_a_vector_at_zero() -> None:
    member = vectors("a", 1)
    member.users[3] = 0.0
    made = concat([member], [1.0])
    assert not made.users[3].any()
    assert bool(made.users.isfinite().all())


def test_averaging_a_rotated_copy_changes_no_ranking() -> None:
    member = vectors("a", 1)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(5))).Q
    turned = MemberVectors("b", member.users @ rotation, member.items @ rotation)
    made = average([member, turned])
    torch.testing.assert_close(made.users @ made.items.T, scores(member), atol=1e-4, rtol=1e-4)


def test_averaging_needs_one_width() -> None:
    with pytest.raises(DataError, match=r"one width, got \{'a': 6, 'b': 4\}; use concat"):
        average([vectors("a", 1), vectors("b", 2, width=4)])


def test_members_of_different_catalogues_are_refused() -> None:
    other = MemberVectors("b", torch.zeros(9, 6), torch.zeros(41, 6))
    with pytest.raises(DataError, match="need the same users and items"):
        concat([vectors("a", 1), other], [1.0, 1.0])


def test_all_weights_zero_is_refused() -> None:
    with pytest.raises(DataError, match="every weight of the ensemble is 0"):
        concat([vectors("a", 1)], [0.0])


def test_chosen_weights_reach_at_least_the_best_member_alone() -> None:
    members = [vectors("a", 1), vectors("b", 2), vectors("c", 3)]
    target = concat(members, [1.0, 0.0, 0.75])
    wanted = target.users @ target.items.T

    def quality(made):
        return -float((made.users @ made.items.T - wanted).abs().mean())

    weights, reached = choose_weights(members, quality)
    assert reached == max(quality(concat(members, w)) for w in (weights, [1.0, 0.0, 0.0]))
    assert weights == [1.0, 0.0, 0.75]


@pytest.fixture(scope="module")
def runs(demo_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    made = []
    for model, params in (("bpr", {"embedding_dim": 8}), ("itemcf", {"rank": 16})):
        folder = RunFolder(tmp_path_factory.mktemp("runs") / model)
        quick = TrainingConfig(max_epochs=20, num_threads=1)
        train_run(demo_dataset, RunConfig(model=model, params=params, training=quick), folder)
        made.append(folder)
    return made


def test_an_ensemble_is_read_back_as_it_was_built(
    demo_dataset: Dataset, runs: list[RunFolder], tmp_path: Path
) -> None:
    built = build_ensemble(demo_dataset, runs, tmp_path / "e", weights=[1.0, 0.5])
    read = read_ensemble(tmp_path / "e")
    assert [m.weight for m in read.members] == [1.0, 0.5]
    assert torch.equal(read.ensemble.users, built.ensemble.users)
    assert read.ensemble.blocks[1].factors is not None
    assert read.test is None


def test_an_ensembles_test_split_is_opened_once(
    demo_dataset: Dataset, runs: list[RunFolder], tmp_path: Path
) -> None:
    build_ensemble(demo_dataset, runs, tmp_path / "e")
    metrics = evaluate_ensemble(demo_dataset, tmp_path / "e")
    assert read_ensemble(tmp_path / "e").test == metrics.means
    with pytest.raises(SplitLeakage):
        evaluate_ensemble(demo_dataset, tmp_path / "e")


def test_an_ensemble_that_was_tested_cannot_be_chosen_again(
    demo_dataset: Dataset, runs: list[RunFolder], tmp_path: Path
) -> None:
    build_ensemble(demo_dataset, runs, tmp_path / "e")
    evaluate_ensemble(demo_dataset, tmp_path / "e")
    with pytest.raises(SplitLeakage, match="needs another name"):
        build_ensemble(demo_dataset, runs, tmp_path / "e")


def test_runs_on_different_splits_do_not_go_together(
    demo_dataset: Dataset,
    runs: list[RunFolder],
    run_config: Callable[..., RunConfig],
    tmp_path: Path,
) -> None:
    other = RunFolder(tmp_path / "other")
    config = run_config("bpr")
    train_run(demo_dataset, RunConfig(**{**vars(config), "split": "leave_last_out"}), other)
    with pytest.raises(DataError, match="need one split"):
        build_ensemble(demo_dataset, [runs[0], other], tmp_path / "e")


def test_a_run_on_other_data_is_refused(
    demo_dataset: Dataset, runs: list[RunFolder], tmp_path: Path
) -> None:
    changed = Dataset(**{**vars(demo_dataset), "fingerprint": "0" * 64})
    with pytest.raises(DataError, match="train it again"):
        build_ensemble(changed, runs, tmp_path / "e")


def test_weights_chosen_on_validation_do_not_lose_to_the_best_member(
    demo_dataset: Dataset, runs: list[RunFolder], tmp_path: Path
) -> None:
    chosen = build_ensemble(demo_dataset, runs, tmp_path / "e")
    alone = [
        build_ensemble(demo_dataset, [run], tmp_path / run.path.name).validation["recall@20"]
        for run in runs
    ]
    assert chosen.validation["recall@20"] >= max(alone) - 1e-12
    assert np.isfinite(chosen.validation["ndcg@20"])

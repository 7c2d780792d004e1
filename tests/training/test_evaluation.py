import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.data.splits import Pairs
from training.evaluation import evaluate, measure, rank


def pairs(*both: tuple[int, int]) -> Pairs:
    users, items = zip(*both, strict=True) if both else ((), ())
    return Pairs.of(np.array(users, dtype=np.int64), np.array(items, dtype=np.int64))


def scorer(table: list[list[float]]):
    matrix = torch.tensor(table)
    return lambda user_rows: matrix[user_rows].clone()


ONE_USER = [[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]]


def metric(name: str, relevant: Pairs, masked: Pairs, table: list[list[float]]) -> float:
    metrics = evaluate(scorer(table), relevant, masked, num_users=len(table))
    return metrics.means[name]


def test_recall_counts_the_relevant_items_among_the_first_k() -> None:
    # Ranking 0 1 2 3 4 | 5 6 7; items 1 and 7 are relevant, item 1 is within the first five.
    assert metric("recall@5", pairs((0, 1), (0, 7)), pairs(), ONE_USER) == 0.5


def test_precision_divides_by_k() -> None:
    assert metric("precision@5", pairs((0, 1), (0, 7)), pairs(), ONE_USER) == pytest.approx(1 / 5)


def test_ndcg_compares_with_a_list_of_all_relevant_items() -> None:
    # Hits at rank 2 only: DCG = 1/log2(3). Ideal: two hits at ranks 1 and 2.
    expected = (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    assert metric("ndcg@5", pairs((0, 1), (0, 7)), pairs(), ONE_USER) == pytest.approx(expected)


def test_ndcg_at_k_expects_at_most_k_hits() -> None:
    # Six relevant items, the first five ranked are all relevant: nothing better is possible.
    relevant = pairs(*((0, item) for item in (0, 1, 2, 3, 4, 7)))
    assert metric("ndcg@5", relevant, pairs(), ONE_USER) == pytest.approx(1.0)


def test_training_items_are_no_candidates() -> None:
    # Without items 0-2 the relevant item 3 moves to rank 1.
    masked = pairs((0, 0), (0, 1), (0, 2))
    assert metric("ndcg@5", pairs((0, 3)), masked, ONE_USER) == pytest.approx(1.0)


def test_a_masked_item_is_never_listed_even_if_the_list_stays_short() -> None:
    masked = pairs(*((0, item) for item in range(6)))
    ranking = rank(scorer(ONE_USER), pairs((0, 7)), masked, num_users=1)
    assert ranking.item_rows[0].tolist() == [6, 7, -1, -1, -1, -1, -1, -1]


def test_a_relevant_item_that_is_masked_is_no_hit() -> None:
    assert metric("recall@20", pairs((0, 0), (0, 1)), pairs((0, 0)), ONE_USER) == 0.5


def test_users_without_relevant_items_are_left_out_of_the_mean() -> None:
    table = [*ONE_USER, *ONE_USER]
    metrics = evaluate(scorer(table), pairs((1, 0)), pairs(), num_users=2)
    assert metrics.user_rows.tolist() == [1]
    assert metrics.means["recall@5"] == 1.0


def test_no_relevant_pair_at_all_gives_zero() -> None:
    assert metric("recall@20", pairs(), pairs(), ONE_USER) == 0.0


def test_a_cutoff_beyond_the_catalogue_counts_what_there_is() -> None:
    # Eight items, all listed: recall@50 is complete, precision@50 still divides by 50.
    relevant = pairs((0, 7))
    assert metric("recall@50", relevant, pairs(), ONE_USER) == 1.0
    assert metric("precision@50", relevant, pairs(), ONE_USER) == pytest.approx(1 / 50)


def test_blocks_of_users_change_nothing() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(23, 60)).tolist()
    relevant = pairs(*((int(u), int(i)) for u, i in zip(*np.nonzero(_mask(rng)), strict=True)))
    whole = rank(scorer(table), relevant, pairs(), num_users=23)
    parts = rank(scorer(table), relevant, pairs(), num_users=23, block_users=4)
    np.testing.assert_array_equal(whole.item_rows, parts.item_rows)
    np.testing.assert_array_equal(whole.hits, parts.hits)


def _mask(rng: np.random.Generator) -> NDArray[np.bool_]:
    return rng.random((23, 60)) < 0.1


def test_equal_scores_still_list_every_item_once() -> None:
    ranking = rank(scorer([[0.5] * 8]), pairs((0, 3)), pairs(), num_users=1)
    assert sorted(ranking.item_rows[0].tolist()) == list(range(8))


def test_the_interval_holds_the_mean_and_narrows_with_users() -> None:
    rng = np.random.default_rng(1)
    few, many = (
        measure(rank(scorer(rng.normal(size=(n, 40)).tolist()), _diagonal(n), pairs(), num_users=n))
        for n in (30, 3000)
    )
    low, high = few.interval("recall@10", np.random.default_rng(0))
    narrow_low, narrow_high = many.interval("recall@10", np.random.default_rng(0))
    assert low <= few.means["recall@10"] <= high
    assert narrow_high - narrow_low < high - low


def _diagonal(count: int) -> Pairs:
    return pairs(*((user, user % 40) for user in range(count)))

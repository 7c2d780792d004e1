import numpy as np
import pytest
import torch

from training.data.pairs import Pairs
from training.data.sampling import NegativeSampler, batches, user_uniform_batches
from training.errors import DataError


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _random_pairs(num_users: int, num_items: int, count: int) -> Pairs:
    rng = np.random.default_rng(0)
    return Pairs.of(rng.integers(num_users, size=count), rng.integers(num_items, size=count))


def test_negatives_are_never_items_the_user_has() -> None:
    train = _random_pairs(50, 40, 1200)
    sampler = NegativeSampler(train, 50, 40)
    users = torch.arange(50).repeat(20)

    negatives = sampler.sample(users, 5, _generator())

    have = set(zip(train.user_rows.tolist(), train.item_rows.tolist(), strict=True))
    drawn = set(zip(users.repeat_interleave(5).tolist(), negatives.flatten().tolist(), strict=True))
    assert negatives.shape == (1000, 5)
    assert negatives.dtype == torch.int64
    assert have & drawn == set()


def test_negatives_are_uniform_over_what_is_left() -> None:
    # User 0 has item 0; user 1 has items 1 to 4, so items 0 to 4 are candidates.
    train = Pairs.of(np.array([0, 1, 1, 1, 1]), np.array([0, 1, 2, 3, 4]))
    sampler = NegativeSampler(train, 2, 5)

    negatives = sampler.sample(torch.zeros(40_000, dtype=torch.int64), 1, _generator())

    # 10,000 expected each; six standard deviations are about 520.
    counts = torch.bincount(negatives.flatten(), minlength=5)
    assert counts[0] == 0
    assert (counts[1:] - 10_000).abs().max() < 520


def test_items_without_training_pairs_are_not_drawn() -> None:
    train = Pairs.of(np.array([0, 1]), np.array([3, 7]))

    negatives = NegativeSampler(train, 2, 10).sample(torch.tensor([0, 1]), 50, _generator())

    assert negatives[0].unique().tolist() == [7]
    assert negatives[1].unique().tolist() == [3]


def test_given_candidates_replace_the_items_of_training() -> None:
    train = Pairs.of(np.array([0]), np.array([3]))
    sampler = NegativeSampler(train, 1, 10, candidates=torch.tensor([3, 8, 9]))

    negatives = sampler.sample(torch.tensor([0]), 100, _generator())

    assert negatives.unique().tolist() == [8, 9]


def test_a_user_with_all_but_one_item_gets_that_item() -> None:
    num_items = 5000
    train = Pairs.of(
        np.append(np.zeros(num_items - 1, np.int64), 1),
        np.append(np.arange(num_items - 1), num_items - 1),
    )

    negatives = NegativeSampler(train, 2, num_items).sample(torch.tensor([0]), 3, _generator())

    assert negatives.tolist() == [[num_items - 1] * 3]


def test_a_user_with_every_item_gets_some_candidate() -> None:
    train = Pairs.of(np.array([0, 0]), np.array([0, 1]))

    negatives = NegativeSampler(train, 1, 2).sample(torch.tensor([0]), 8, _generator())

    assert set(negatives.flatten().tolist()) <= {0, 1}


def test_one_seed_draws_the_same_negatives() -> None:
    sampler = NegativeSampler(_random_pairs(50, 40, 300), 50, 40)
    users = torch.arange(50)

    assert torch.equal(
        sampler.sample(users, 4, _generator(5)), sampler.sample(users, 4, _generator(5))
    )


def test_no_candidates_are_refused() -> None:
    empty = np.array([], np.int64)

    with pytest.raises(DataError, match="no candidates"):
        NegativeSampler(Pairs.of(empty, empty), 1, 1)


def test_pairs_beyond_the_sizes_are_refused() -> None:
    with pytest.raises(DataError, match="user row 3 and item row 1, but there are 3 users"):
        NegativeSampler(Pairs.of(np.array([3]), np.array([1])), 3, 2)


def test_batches_cover_every_pair_once() -> None:
    train = _random_pairs(30, 30, 400)

    drawn = list(batches(train, 64, _generator()))

    users, items = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    assert [len(batch[0]) for batch in drawn[:-1]] == [64] * (len(drawn) - 1)
    assert Pairs.of(users.numpy(), items.numpy()).item_rows.tolist() == train.item_rows.tolist()
    assert len(users) == len(train)


def test_batches_are_shuffled_by_the_generator() -> None:
    train = _random_pairs(30, 30, 400)
    first, again, other = (next(batches(train, 64, _generator(seed)))[0] for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_user_uniform_batches_hold_distinct_users_with_one_of_their_items() -> None:
    train = _random_pairs(100, 30, 400)
    have = set(zip(train.user_rows.tolist(), train.item_rows.tolist(), strict=True))

    users, items = next(user_uniform_batches(train, 100, 32, _generator()))

    assert len(users.unique()) == 32
    assert set(zip(users.tolist(), items.tolist(), strict=True)) <= have


def test_user_uniform_batches_do_not_favour_active_users() -> None:
    # User 0 has 98 of 100 pairs.
    train = Pairs.of(np.array([0] * 98 + [1, 2]), np.append(np.arange(98), [0, 0]))
    drawn = [users for users, _ in user_uniform_batches(train, 5, 1, _generator())]

    counts = torch.bincount(torch.cat(drawn), minlength=5)

    # 100 batches of one user: 33 expected each; users 3 and 4 have no pairs.
    assert len(drawn) == 100
    assert counts[:3].min() > 15
    assert counts[3:].tolist() == [0, 0]


def test_user_uniform_batches_shrink_to_the_users_there_are() -> None:
    train = Pairs.of(np.array([0, 2]), np.array([0, 1]))

    (batch,) = user_uniform_batches(train, 3, 100, _generator())

    assert sorted(batch[0].tolist()) == [0, 2]


def test_batch_size_zero_is_refused() -> None:
    with pytest.raises(DataError, match="batch_size is 0"):
        next(batches(_random_pairs(3, 3, 5), 0, _generator()))


@pytest.mark.gpu
def test_negatives_are_drawn_on_the_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    train = _random_pairs(50, 40, 300)
    generator = torch.Generator("cuda").manual_seed(0)
    users, items = next(batches(train, 64, generator))

    negatives = NegativeSampler(train, 50, 40).sample(users, 2, generator)

    assert negatives.device.type == items.device.type == "cuda"

import torch

from models import EASE, ItemCF
from models.baselines.item_based import EASEParams, ItemCFParams, truncated_svd
from models.inputs import Inputs

# Rows: u0 {0, 1}, u1 {0, 1, 2}, u2 {2}.
EDGES = torch.tensor([[0, 0, 1, 1, 1, 2], [0, 1, 0, 1, 2, 2]])
TINY = Inputs(3, 3, EDGES)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_itemcf_without_exponents_counts_co_occurrences() -> None:
    model = ItemCF(TINY, ItemCFParams(0.0, 0.0, 0.0), generator())
    expected = torch.tensor([[0.0, 2.0, 1.0], [2.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    torch.testing.assert_close(model.weights, expected)


def test_itemcf_exponents_hold_down_popular_items_and_active_users() -> None:
    model = ItemCF(TINY, ItemCFParams(0.5, 0.25, 1.0), generator())
    # (0, 1): user 0 has 2 items, user 1 has 3: 1/2 + 1/3; both items have two users.
    expected = (1 / 2 + 1 / 3) * 2**-0.5 * 2**-0.25
    torch.testing.assert_close(float(model.weights[0, 1]), expected)


def test_ease_equals_its_closed_form() -> None:
    model = EASE(TINY, EASEParams(reg_weight=0.7), generator())
    ratings = torch.zeros(3, 3)
    ratings[EDGES[0], EDGES[1]] = 1.0
    precision = torch.linalg.inv(ratings.T @ ratings + 0.7 * torch.eye(3))
    expected = -precision / precision.diagonal()
    expected.fill_diagonal_(0.0)
    torch.testing.assert_close(model.weights, expected, atol=1e-5, rtol=1e-5)


def test_the_scorer_adds_the_rows_of_the_users_items() -> None:
    model = ItemCF(TINY, ItemCFParams(), generator())
    scores = model.scorer()(torch.tensor([2, 0]))
    torch.testing.assert_close(scores[0], model.weights[2])
    torch.testing.assert_close(scores[1], model.weights[0] + model.weights[1])


def test_factors_of_full_rank_reproduce_the_exact_scores(inputs: Inputs) -> None:
    model = EASE(inputs, EASEParams(reg_weight=5.0, rank=inputs.num_items), generator())
    vectors = model.embed()
    exact = model.scorer()(torch.arange(inputs.num_users))
    torch.testing.assert_close(vectors.users @ vectors.items.T, exact, atol=1e-4, rtol=1e-4)


def test_a_users_vector_is_the_sum_of_their_items_factors(inputs: Inputs) -> None:
    model = ItemCF(inputs, ItemCFParams(rank=6), generator())
    mine = inputs.edge_index[1][inputs.edge_index[0] == 4]
    torch.testing.assert_close(model.embed().users[4], model.item_factors()[mine].sum(0))


def test_the_truncated_svd_is_the_best_approximation_of_its_rank() -> None:
    matrix = torch.randn(60, 40, generator=generator())
    left, right = truncated_svd(matrix, 10, generator())
    error = torch.linalg.matrix_norm(matrix - left @ right.T)
    best = torch.linalg.svdvals(matrix)[10:].norm()
    assert float(error) <= 1.01 * float(best)

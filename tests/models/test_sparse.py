import torch

from models.inputs import Inputs
from models.sparse import (
    SparseMatrix,
    mean_aggregation,
    random_walk_adjacency,
    sample_edges,
    symmetric_adjacency,
    symmetric_aggregation,
)

# Two users, two items: user 0 has both items, user 1 has item 1.
EDGES = torch.tensor([[0, 0, 1], [0, 1, 1]])


def dense(matrix: SparseMatrix) -> torch.Tensor:
    return matrix(torch.eye(matrix.shape[1]))


def test_the_product_and_its_gradient_equal_those_of_the_dense_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    full = torch.randn(5, 7, generator=generator) * (torch.rand(5, 7, generator=generator) < 0.4)
    rows, columns = full.nonzero().T
    matrix = SparseMatrix(rows, columns, full[rows, columns], (5, 7))
    x = torch.randn(7, 3, generator=generator, requires_grad=True)
    y = torch.randn(7, 3, generator=generator)
    torch.testing.assert_close(matrix(y), full @ y)
    matrix(x).sin().sum().backward()
    expected = full.T @ (full @ x.detach()).cos()
    torch.testing.assert_close(x.grad, expected)


def test_symmetric_adjacency_divides_by_both_degrees() -> None:
    # Degrees: users 2, 1; items 1, 2. Entry (u, i) = 1 / sqrt(deg u * deg i).
    expected = torch.zeros(4, 4)
    expected[0, 2] = expected[2, 0] = 1 / (2 * 1) ** 0.5
    expected[0, 3] = expected[3, 0] = 1 / (2 * 2) ** 0.5
    expected[1, 3] = expected[3, 1] = 1 / (1 * 2) ** 0.5
    torch.testing.assert_close(dense(symmetric_adjacency(EDGES, 2, 2)), expected)


def test_random_walk_adjacency_has_self_loops_and_rows_that_sum_to_one() -> None:
    matrix = dense(random_walk_adjacency(EDGES, 2, 2))
    torch.testing.assert_close(matrix.sum(1), torch.ones(4))
    torch.testing.assert_close(matrix[0], torch.tensor([1 / 3, 0, 1 / 3, 1 / 3]))


def test_a_walk_without_self_loops_takes_the_mean_of_the_neighbours() -> None:
    matrix = dense(random_walk_adjacency(EDGES, 3, 2, self_loops=False))
    assert not matrix.diagonal().any()
    # User 2 has no pair, everyone else is an average.
    assert matrix.sum(1).tolist() == [1.0, 1.0, 0.0, 1.0, 1.0]


def test_mean_aggregation_averages_a_users_items_and_gives_nothing_without_items() -> None:
    matrix = dense(mean_aggregation(EDGES, 3, 2))
    expected = torch.tensor([[0.5, 0.5], [0.0, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(matrix, expected)


def test_symmetric_aggregation_is_the_users_part_of_the_symmetric_adjacency() -> None:
    full = dense(symmetric_adjacency(EDGES, 2, 2))
    torch.testing.assert_close(dense(symmetric_aggregation(EDGES, 2, 2)), full[:2, 2:])
    assert dense(symmetric_aggregation(EDGES, 3, 2))[2].tolist() == [0.0, 0.0]


def test_sampled_edges_are_distinct_training_edges_and_as_many_as_asked(inputs: Inputs) -> None:
    kept = sample_edges(inputs.edge_index, 0.3, torch.Generator().manual_seed(0))
    known = {tuple(edge) for edge in inputs.edge_index.T.tolist()}
    drawn = [tuple(edge) for edge in kept.T.tolist()]
    assert len(drawn) == len(set(drawn)) == int(0.3 * inputs.edge_index.shape[1])
    assert set(drawn) <= known


def test_edges_between_popular_ends_are_drawn_less_often() -> None:
    # Item 0 is had by all 200 users; 200 further items by one user each.
    users = torch.arange(200).repeat(2)
    items = torch.cat([torch.zeros(200, dtype=torch.int64), torch.arange(1, 201)])
    edges = torch.stack([users, items])
    kept = sample_edges(edges, 0.5, torch.Generator().manual_seed(0))
    # Weights 1/sqrt(2*200) against 1/sqrt(2*1): 14 times rarer at first draw.
    assert int((kept[1] == 0).sum()) < 50

import torch

from models.decorrelation import covariance, dynamic_de_redundancy, redundancy


def test_redundancy_is_the_root_of_the_squared_correlations_of_column_pairs() -> None:
    rows = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    correlations = torch.corrcoef(rows.T)
    # Eq. 20: || P - I ||_F / sqrt(2) counts every pair once.
    expected = torch.linalg.matrix_norm(correlations - torch.eye(4)) / 2**0.5
    torch.testing.assert_close(redundancy(covariance(rows)), expected)


def test_repeated_columns_are_wholly_redundant_and_a_constant_one_is_not() -> None:
    column = torch.tensor([1.0, 2.0, 4.0])
    rows = torch.stack([column, -3 * column, torch.ones(3)], dim=1)
    torch.testing.assert_close(redundancy(covariance(rows)), torch.tensor(1.0))


def test_the_sum_over_layers_is_their_harmonic_mean() -> None:
    # Users: 1 / ((1/1 + 1/3) / 2) = 1.5; items: 2 / (1/2 + 1/2) = 2.
    penalties = torch.tensor([[1.0, 2.0], [3.0, 2.0]])
    torch.testing.assert_close(dynamic_de_redundancy(penalties), torch.tensor(1.5 + 2.0))


def test_the_weights_of_layers_are_constants_to_the_gradient() -> None:
    penalties = torch.tensor([1.0, 3.0], requires_grad=True)
    dynamic_de_redundancy(penalties).backward()
    # mu = (1, 1/3) / (4/3); were they differentiated it would be (9/8, 1/8).
    torch.testing.assert_close(penalties.grad, torch.tensor([0.75, 0.25]))


def test_columns_that_say_nothing_about_each_other_get_no_gradient_that_is_not_finite() -> None:
    rows = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], requires_grad=True)
    redundancy(covariance(rows)).backward()
    assert rows.grad is not None
    assert bool(rows.grad.isfinite().all())

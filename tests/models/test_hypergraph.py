import torch

from models.hypergraph import Hypergraph
from models.inputs import Embeddings, Inputs

# User 0 has items 0 and 1, user 1 has item 1; one hyperedge per column.
TWO = Inputs(2, 2, torch.tensor([[0, 0, 1], [0, 1, 1]]))
AFFINITIES = torch.tensor([[0.3, 0.1], [0.0, 0.4]])
VECTORS = Embeddings(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 1.0], [0.0, 3.0]]))


def of_users(weights: list[list[float]]) -> torch.Tensor:
    return (torch.tensor(weights) @ AFFINITIES / 0.2).softmax(-1)


ITEMS = (AFFINITIES / 0.2).softmax(-1)


def test_users_belong_where_their_items_belong_and_receive_what_items_hold() -> None:
    (vectors,) = Hypergraph(TWO, 1, 0.2, 0.5)([AFFINITIES], VECTORS)
    held = ITEMS.T @ VECTORS.items
    torch.testing.assert_close(vectors.items, ITEMS @ held)
    torch.testing.assert_close(vectors.users, of_users([[1.0, 1.0], [0.0, 1.0]]) @ held)


def test_normalised_users_belong_to_the_mean_of_their_items() -> None:
    (vectors,) = Hypergraph(TWO, 1, 0.2, 0.5, normalised=True)([AFFINITIES], VECTORS)
    held = ITEMS.T @ VECTORS.items
    torch.testing.assert_close(vectors.users, of_users([[0.5, 0.5], [0.0, 1.0]]) @ held)


def test_own_users_receive_what_users_hold() -> None:
    (vectors,) = Hypergraph(TWO, 1, 0.2, 0.5, own_users=True)([AFFINITIES], VECTORS)
    users = of_users([[1.0, 1.0], [0.0, 1.0]])
    torch.testing.assert_close(vectors.users, users @ users.T @ VECTORS.users)
    torch.testing.assert_close(vectors.items, ITEMS @ ITEMS.T @ VECTORS.items)


def test_a_second_layer_propagates_the_items_of_the_first() -> None:
    (vectors,) = Hypergraph(TWO, 2, 0.2, 0.5)([AFFINITIES], VECTORS)
    first = ITEMS @ ITEMS.T @ VECTORS.items
    torch.testing.assert_close(vectors.items, ITEMS @ ITEMS.T @ first)
    torch.testing.assert_close(vectors.users, of_users([[1.0, 1.0], [0.0, 1.0]]) @ ITEMS.T @ first)


def test_wanted_rows_are_those_of_all() -> None:
    for own_users in (False, True):
        graph = Hypergraph(TWO, 2, 0.2, 0.5, own_users=own_users)
        (whole,) = graph([AFFINITIES], VECTORS)
        rows = (torch.tensor([1, 1, 0]), torch.tensor([1]))
        (wanted,) = graph([AFFINITIES], VECTORS, rows)
        torch.testing.assert_close(wanted.users, whole.users[rows[0]])
        torch.testing.assert_close(wanted.items, whole.items[rows[1]])


def test_noise_makes_an_incidence_choose_as_often_as_its_softmax_says() -> None:
    # Gumbel-max: at a low temperature a noisy softmax is one-hot, and hyperedge h is chosen
    # with probability softmax(affinities)_h, here 1 / 4 and 3 / 4.
    affinities = torch.tensor([[0.0, 3.0]]).clamp_min(1.0).log().expand(4000, 2)
    inputs = Inputs(1, 4000, torch.tensor([[0], [0]]))
    graph = Hypergraph(inputs, 1, 0.01, 1.0)
    incidence = graph._incidence(affinities, torch.Generator().manual_seed(0))
    torch.testing.assert_close(incidence.mean(0), torch.tensor([0.25, 0.75]), atol=0.02, rtol=0.0)


def test_dropped_incidences_leave_the_mean_as_it_is() -> None:
    graph = Hypergraph(Inputs(1, 4000, torch.tensor([[0], [0]])), 1, 100.0, 0.5)
    # At this temperature noise hardly matters: every incidence is near 1 / 2 before dropout.
    incidence = graph._incidence(torch.zeros(4000, 2), torch.Generator().manual_seed(0))
    assert abs(float((incidence == 0.0).float().mean()) - 0.5) < 0.02
    assert abs(float(incidence.mean()) - 0.5) < 0.02

import torch

from models.edge_graph import EdgeGraph

SOURCES = torch.tensor([0, 1, 2, 0])
TARGETS = torch.tensor([1, 1, 0, 2])
NUM_SOURCES, NUM_TARGETS = 3, 4


def test_messages_are_summed_per_target_and_a_node_without_any_gets_zero() -> None:
    graph = EdgeGraph(SOURCES, TARGETS, NUM_SOURCES, NUM_TARGETS)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])  # of the edges 2->0, 0->1, 1->1, 0->2
    dense = torch.tensor([[1.0], [10.0], [100.0]])
    assert graph(weights, dense).tolist() == [[100.0], [32.0], [4.0], [0.0]]


def test_edges_are_known_in_the_order_of_their_weights() -> None:
    graph = EdgeGraph(SOURCES, TARGETS, NUM_SOURCES, NUM_TARGETS)
    assert graph.sources.tolist() == [2, 0, 1, 0]
    assert graph.targets.tolist() == [0, 1, 1, 2]


def test_softmax_runs_over_the_edges_of_one_target() -> None:
    graph = EdgeGraph(SOURCES, TARGETS, NUM_SOURCES, NUM_TARGETS)
    weights = graph.softmax(torch.tensor([5.0, 0.0, 0.0, -7.0]))
    torch.testing.assert_close(weights, torch.tensor([1.0, 0.5, 0.5, 1.0]))


def test_gradients_of_weights_and_vectors_agree_with_finite_differences() -> None:
    graph = EdgeGraph(SOURCES, TARGETS, NUM_SOURCES, NUM_TARGETS)
    weights = torch.randn(4, dtype=torch.double, requires_grad=True)
    dense = torch.randn(3, 5, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(graph, (weights, dense))


def test_products_multiply_both_ends_of_every_edge() -> None:
    graph = EdgeGraph(SOURCES, TARGETS, NUM_SOURCES, NUM_TARGETS)
    targets = torch.tensor([[1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [9.0, 9.0]])
    sources = torch.tensor([[1.0, 1.0], [10.0, 5.0], [7.0, 0.0]])
    # 2->0: 1*7, 0->1: 2*1 + 1*1, 1->1: 2*10 + 1*5, 0->2: 3*1
    assert graph.products(targets, sources).tolist() == [7.0, 3.0, 25.0, 3.0]


def test_gradients_of_products_agree_with_finite_differences() -> None:
    graph = EdgeGraph(SOURCES, TARGETS, NUM_SOURCES, NUM_TARGETS)
    targets = torch.randn(4, 5, dtype=torch.double, requires_grad=True)
    sources = torch.randn(3, 5, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(graph.products, (targets, sources))


def test_edges_that_end_elsewhere_may_be_left_out() -> None:
    graph = EdgeGraph(SOURCES, TARGETS, NUM_SOURCES, NUM_TARGETS)
    chosen = torch.tensor([2, 3, 1])
    part = graph.ending_in(chosen)
    assert part.sources.tolist() == [0, 0, 1]
    assert part.targets.tolist() == [0, 2, 2]
    dense = torch.randn(NUM_SOURCES, 5, requires_grad=True)
    logits = torch.tensor([3.0, 0.0, 1.0, 2.0])  # of the edges 2->0, 0->1, 1->1, 0->2
    whole = graph(graph.softmax(logits), dense)[chosen]
    kept = part(part.softmax(logits[[3, 1, 2]]), dense)
    torch.testing.assert_close(kept, whole)
    [expected], [found] = (torch.autograd.grad(y.sum(), dense) for y in (whole, kept))
    torch.testing.assert_close(found, expected)

import pytest
import torch
from torch import Tensor

from models.cold_items import ColdItems
from models.inputs import Inputs
from models.sparse import SparseMatrix

# Items 0 and 1 have pairs, items 2 and 3 do not.
INPUTS = Inputs(1, 4, torch.tensor([[0, 0], [0, 1]]))
VECTORS = torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.1, 0.1], [0.2, 0.2]])


def graph(edges: dict[tuple[int, int], float]) -> SparseMatrix:
    rows, columns = torch.tensor(list(edges)).T
    return SparseMatrix(rows, columns, torch.tensor(list(edges.values())), (4, 4))


@pytest.fixture
def cold_items() -> ColdItems:
    return ColdItems(INPUTS).eval()


def test_a_cold_item_gets_the_mean_direction_and_length_of_its_neighbours(
    cold_items: ColdItems,
) -> None:
    edges = {(0, 0): 1.0, (1, 1): 1.0, (2, 0): 0.25, (2, 1): 0.75, (2, 2): 1.0, (3, 3): 1.0}
    filled: Tensor = cold_items(VECTORS, [graph(edges)])
    # Direction .25 * (3, 0) + .75 * (0, 1), length .25 * 3 + .75 * 1 = 1.5; itself is left out.
    expected = torch.tensor([0.5**0.5, 0.5**0.5]) * 1.5
    torch.testing.assert_close(filled[2], expected)


def test_the_edges_of_several_graphs_count_together(cold_items: ColdItems) -> None:
    parts = [graph({(2, 0): 1.0}), graph({(2, 1): 3.0})]
    whole = graph({(2, 0): 1.0, (2, 1): 3.0})
    torch.testing.assert_close(cold_items(VECTORS, parts), cold_items(VECTORS, [whole]))


def test_items_with_pairs_or_without_neighbours_keep_their_vectors(cold_items: ColdItems) -> None:
    filled = cold_items(VECTORS, [graph({(0, 1): 1.0, (2, 3): 1.0})])
    assert torch.equal(filled, VECTORS)


def test_nothing_changes_in_training_or_without_a_graph(cold_items: ColdItems) -> None:
    assert cold_items(VECTORS, []) is VECTORS
    assert cold_items.train()(VECTORS, [graph({(2, 0): 1.0})]) is VECTORS

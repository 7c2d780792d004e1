import torch

from models.co_occurrence import co_occurrence

# Row 0 has columns 0-2, row 1 has 0 and 1, row 2 has 2, row 3 has 2-4, row 4 has 5.
EDGES = torch.tensor([[0, 0, 0, 1, 1, 2, 3, 3, 3, 4], [0, 1, 2, 0, 1, 2, 2, 3, 4, 5]])


def test_neighbours_share_most_columns_and_the_larger_cosine_decides_among_equals() -> None:
    found = co_occurrence(EDGES, 6, 6, 3)
    # Row 0 shares two columns with row 1; one with row 2 (cosine 1/sqrt(3)) and row 3 (1/3).
    assert found.indices[0].tolist() == [1, 2, 3]
    assert found.similarities[0].tolist() == [2.0, 1.0, 1.0]
    # Row 2 has one column in common with row 0 and row 3, both of three.
    assert set(found.indices[2, :2].tolist()) == {0, 3}


def test_a_row_is_no_neighbour_of_itself_and_who_shares_nothing_has_none() -> None:
    found = co_occurrence(EDGES, 6, 6, 6)
    joined = found.similarities > 0
    assert not bool((found.indices[joined] == torch.arange(6).repeat(6, 1).T[joined]).any())
    assert joined.sum(1).tolist() == [3, 1, 2, 2, 0, 0]


def test_blocks_do_not_change_the_neighbours() -> None:
    whole, blocks = co_occurrence(EDGES, 6, 6, 2), co_occurrence(EDGES, 6, 6, 2, block_rows=4)
    assert torch.equal(whole.indices, blocks.indices)
    assert torch.equal(whole.similarities, blocks.similarities)

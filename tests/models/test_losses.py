from collections.abc import Callable

import torch

from models.inputs import Batch, Embeddings, Inputs
from models.losses import batch_rows, bpr, distinct_rows, l2, margins, squared_norm

VECTORS = Embeddings(
    torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 2.0]])
)
# The scores are 1, 6, 6 for user 0 and 0, 3, 2 for user 1.
BATCH = Batch(
    torch.tensor([1, 0]), torch.tensor([1, 0]), torch.tensor([[2], [2]]), torch.Generator()
)


def test_margins_are_differences_of_scores() -> None:
    assert margins(VECTORS, BATCH).tolist() == [[1.0], [-5.0]]


def test_a_gathered_batch_has_the_same_margins_and_the_same_norms() -> None:
    gathered, rows = batch_rows(VECTORS, BATCH)
    assert gathered.items.tolist() == [[0.0, 3.0], [1.0, 0.0], [2.0, 2.0], [2.0, 2.0]]
    torch.testing.assert_close(margins(gathered, rows), margins(VECTORS, BATCH))
    # Users 1 + 5, positive items 9 + 1, negative items 8 + 8, halved, by 2 pairs.
    assert float(squared_norm(gathered)) == 8.0
    assert float(l2((VECTORS.users, VECTORS.items), BATCH)) == 8.0


def test_a_batch_by_places_of_what_occurs_has_the_same_margins() -> None:
    again = Batch(
        torch.tensor([1, 1]), torch.tensor([1, 2]), torch.tensor([[2], [1]]), torch.Generator()
    )
    users, items, places = distinct_rows(again)
    assert (users.tolist(), items.tolist()) == ([1], [1, 2])
    rows = Embeddings(VECTORS.users[users], VECTORS.items[items])
    torch.testing.assert_close(margins(rows, places), margins(VECTORS, again))


def test_several_negatives_stay_with_their_pair(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    batch = make_batch(inputs)
    several = Batch(
        batch.users,
        batch.positive_items,
        torch.cat([batch.negative_items, batch.positive_items[:, None]], dim=1),
        batch.generator,
    )
    generator = torch.Generator().manual_seed(0)
    vectors = Embeddings(
        torch.randn(inputs.num_users, 4, generator=generator),
        torch.randn(inputs.num_items, 4, generator=generator),
    )
    gathered, rows = batch_rows(vectors, several)
    torch.testing.assert_close(bpr(gathered, rows), bpr(vectors, several))
    assert not margins(vectors, several)[:, 1].any()

import numpy as np
import pytest
import torch
from additive import Additive

from models.inputs import Batch
from training.data.pairs import Pairs
from training.strategies.strategy import KnownPairs


@pytest.fixture
def model() -> Additive:
    return Additive(labelled=True)


@pytest.fixture
def triples() -> Batch:
    """(0, 0, 1) and (1, 2, 1).

    Margins: IDs 1, 4; image 1, 2; text 2, 2. So 4, 8 with all kept, 2, 6 with image kept and
    3, 6 with text kept; a masked part is the same for every item.
    """
    return Batch(
        torch.tensor([0, 1]),
        torch.tensor([0, 2]),
        torch.tensor([[1], [1]]),
        torch.Generator().manual_seed(0),
    )


@pytest.fixture
def pairs() -> KnownPairs:
    rows = np.array([0, 1])
    return KnownPairs(Pairs.of(rows, np.array([0, 2])), Pairs.of(rows, np.array([1, 0])))

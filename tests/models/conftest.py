from collections.abc import Callable

import pytest
from tiny_inputs import batch_of, checkerboard, learn, random_inputs

from models.inputs import Batch, Inputs


@pytest.fixture
def make_inputs() -> Callable[..., Inputs]:
    return random_inputs


@pytest.fixture
def inputs() -> Inputs:
    return random_inputs()


@pytest.fixture
def board() -> Inputs:
    return checkerboard()


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    return batch_of


@pytest.fixture
def teach() -> Callable[..., list[float]]:
    return learn

from collections import Counter

import pytest
import torch
from additive import Additive

from models.inputs import Batch
from training.strategies.passes import Passes

KEPT = {
    None: [4.0, 8.0],
    frozenset({"image", "text"}): [4.0, 8.0],
    frozenset({"image"}): [2.0, 6.0],
    frozenset({"text"}): [3.0, 6.0],
    frozenset(): [1.0, 4.0],
}


@pytest.mark.parametrize("keep", KEPT, ids=["everything", "both", "image", "text", "nothing"])
@pytest.mark.parametrize("labelled", [True, False])
def test_margins_are_those_of_the_masked_model(
    keep: frozenset[str] | None, labelled: bool, triples: Batch
) -> None:
    found = Passes(Additive(labelled=labelled)).margins(triples, keep)
    assert found.tolist() == [[KEPT[keep][0]], [KEPT[keep][1]]]


def ask_for_every_mask(model: Additive, triples: Batch) -> Counter[frozenset[str] | None]:
    passes = Passes(model)
    passes.margins(triples, frozenset({"image"}))
    passes.margins(triples, frozenset({"text"}))
    with torch.no_grad():
        passes.margins(triples, None)
        passes.margins(triples, frozenset({"image", "text"}) - {"image"})
    return model.passes


def test_additive_parts_give_every_mask_in_two_passes(triples: Batch) -> None:
    passes = ask_for_every_mask(Additive(labelled=True), triples)
    assert passes == {None: 1, frozenset(): 1}


def test_other_models_are_embedded_once_per_mask(triples: Batch) -> None:
    passes = ask_for_every_mask(Additive(labelled=False), triples)
    assert passes == {frozenset({"image"}): 1, frozenset({"text"}): 1, None: 1}


@pytest.mark.parametrize("labelled", [True, False])
def test_a_pass_without_gradient_does_not_stand_in_for_one_with(
    labelled: bool, triples: Batch
) -> None:
    passes = Passes(Additive(labelled=labelled))
    with torch.no_grad():
        assert not passes.margins(triples, None).requires_grad
    assert passes.margins(triples, None).requires_grad

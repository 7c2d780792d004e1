import math

import pytest
import torch
from additive import Additive

from models.inputs import Batch
from training.strategies import OGM
from training.strategies.ogm import OGMParams, factors
from training.strategies.strategy import KnownPairs


def gradients(model: Additive, triples: Batch) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model.loss(triples)["bpr"].backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_the_leading_modality_is_slowed_down() -> None:
    found = factors(torch.tensor([3.0, 1.0]), 0.1)
    torch.testing.assert_close(found, torch.tensor([1 - math.tanh(0.3), 1.0]))


def test_a_modality_is_compared_with_the_mean_of_the_others() -> None:
    found = factors(torch.tensor([4.0, 3.0, 1.0]), 1.0)
    # 4 / 2 and 3 / 2.5 lead, 1 / 3.5 does not
    expected = torch.tensor([1 - math.tanh(2.0), 1 - math.tanh(1.2), 1.0])
    torch.testing.assert_close(found, expected)


def test_only_the_leading_modalitys_own_gradients_change(
    model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    before = gradients(model, triples)
    strategy = OGM(model, OGMParams(strength=1.0), pairs)
    strategy.after_backward(triples)
    # Confidence: image sigma(2) + sigma(6), text sigma(3) + sigma(6); text leads.
    image, text = (
        sum(1 / (1 + math.exp(-margin)) for margin in kept) for kept in ([2.0, 6.0], [3.0, 6.0])
    )
    scale = 1 - math.tanh(text / image)
    after = {name: p.grad for name, p in model.named_parameters()}
    expected = {k: g * scale if "of_text" in k else g for k, g in before.items()}
    torch.testing.assert_close(after, expected)


def test_noise_reaches_every_modality_and_repeats(
    model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    strategy = OGM(model, OGMParams(strength=0.0, noise=True), pairs)
    before = gradients(model, triples)
    strategy.after_backward(triples)
    once = {name: p.grad.clone() for name, p in model.named_parameters()}
    gradients(model, triples)
    triples.generator.manual_seed(0)
    strategy.after_backward(triples)
    again = {name: p.grad for name, p in model.named_parameters()}
    torch.testing.assert_close(again, once)
    changed = {name for name in before if not torch.equal(before[name], once[name])}
    assert changed == {name for name in before if name.startswith("own.")}


def test_a_model_without_parameters_of_one_modality_is_refused(pairs: KnownPairs) -> None:
    class Mixed(Additive):
        def param_groups(self) -> dict[str, list[torch.nn.Parameter]]:
            return {"shared": list(self.parameters())}

    with pytest.raises(ValueError, match="with these settings the model has none"):
        OGM(Mixed(labelled=True), OGMParams(), pairs)

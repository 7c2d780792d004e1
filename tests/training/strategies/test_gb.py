import pytest
import torch
from additive import Additive
from torch.nn.functional import logsigmoid

from models.inputs import Batch
from training.strategies import GB
from training.strategies.gb import GBParams, blend
from training.strategies.strategy import KnownPairs


def started(model: Additive, params: GBParams, pairs: KnownPairs) -> GB:
    strategy = GB(model, params, pairs)
    strategy.prepare(lambda *_: pytest.fail("it needs no teacher"))
    strategy.start_epoch(0)
    return strategy


def test_weights_grow_with_progress_and_fall_with_the_square_of_overfitting() -> None:
    # Validation falls by 0.1 and 0.05; the gap to training grows by 0.1 and 0.05.
    before = torch.tensor([[0.7, 0.7], [0.7, 0.7]])
    now = torch.tensor([[0.5, 0.6], [0.6, 0.65]])
    # 0.1 / 0.01 = 10 and 0.05 / 0.0025 = 20
    torch.testing.assert_close(blend(before, now, 0.0), torch.tensor([1 / 3, 2 / 3]))


def test_a_part_of_the_weights_is_spread_evenly() -> None:
    before = torch.tensor([[0.7, 0.7], [0.7, 0.7]])
    now = torch.tensor([[0.5, 0.9], [0.6, 0.9]])
    torch.testing.assert_close(blend(before, now, 0.2), torch.tensor([0.9, 0.1]))


def test_a_gap_that_stays_does_not_make_a_weight_infinite() -> None:
    before = torch.tensor([[0.7, 0.7], [0.7, 0.7]])
    now = torch.tensor([[0.6, 0.6], [0.6, 0.6]])
    torch.testing.assert_close(blend(before, now, 0.0), torch.tensor([0.5, 0.5]))


def test_the_weights_stay_when_nothing_got_better() -> None:
    losses = torch.tensor([[0.7, 0.7], [0.7, 0.7]])
    assert blend(losses, losses + 0.1, 0.1) is None


def test_the_loss_blends_the_joint_one_with_one_of_every_modality(
    model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    strategy = started(model, GBParams(), pairs)
    strategy.weights = torch.tensor([0.5, 0.3, 0.2])
    terms = strategy.loss(triples)
    margins = {"bpr": [4.0, 8.0], "gb_image": [2.0, 6.0], "gb_text": [3.0, 6.0]}
    weights = {"bpr": 0.2, "gb_image": 0.5, "gb_text": 0.3}
    expected = {k: -w * logsigmoid(torch.tensor(margins[k])).mean() for k, w in weights.items()}
    torch.testing.assert_close({k: v.detach() for k, v in terms.items()}, expected)


def test_losses_are_measured_on_both_splits_with_the_same_negatives_every_time(
    model: Additive, pairs: KnownPairs
) -> None:
    strategy = started(model.train(), GBParams(), pairs)
    first = strategy.measure()
    assert first.shape == (2, 3)
    assert torch.equal(first, strategy.measure())
    assert model.training


def test_weights_change_every_few_epochs_only(model: Additive, pairs: KnownPairs) -> None:
    strategy = started(model, GBParams(estimate_every=3), pairs)
    with torch.no_grad():
        # Validation pairs are (0, 1) and (1, 0): make text rank them first.
        model.own["of_text"][1].copy_(torch.tensor([[4.0], [5.0], [-4.0]]))
    strategy.end_epoch(0)
    strategy.end_epoch(1)
    assert strategy.weights.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    strategy.end_epoch(2)
    assert strategy.weights[1] > strategy.weights[0]
    assert float(strategy.weights.sum()) == pytest.approx(1.0)


def test_the_state_holds_the_weights_and_what_they_are_compared_with(
    model: Additive, pairs: KnownPairs
) -> None:
    strategy = started(model, GBParams(), pairs)
    strategy.weights = torch.tensor([0.5, 0.3, 0.2])
    other = GB(Additive(labelled=True), GBParams(), pairs)
    other.prepare(lambda *_: pytest.fail("it needs no teacher"))
    other.restore(strategy.state())
    torch.testing.assert_close(other.state(), strategy.state())

from collections.abc import Callable

import pytest
import torch
from tiny_inputs import unreached
from torch.nn.functional import leaky_relu

from models import MGNM
from models.decorrelation import covariance, redundancy
from models.inputs import Batch, Inputs
from models.mgnm import MGNMParams, Purifier

VARIANTS = {
    "linear purifier": MGNMParams(embedding_dim=8, linear_purifier=True),
    "mean over items": MGNMParams(embedding_dim=8, normalised_degrees=True),
    "users from users": MGNMParams(embedding_dim=8, user_hyperedges=True),
    "no layers": MGNMParams(embedding_dim=8, num_layers=0, num_feature_layers=0),
    "four layers": MGNMParams(embedding_dim=8, num_layers=4, num_hyper_layers=2),
}


def make(inputs: Inputs, params: MGNMParams) -> MGNM:
    return MGNM(inputs, params, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_in_every_variant_the_gradient_reaches_every_parameter(
    variant: str, inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    assert unreached(make(inputs, VARIANTS[variant]), make_batch(inputs)) == []


@pytest.mark.parametrize("variant", ["linear purifier", "mean over items", "users from users"])
def test_every_switch_changes_the_vectors(variant: str, inputs: Inputs) -> None:
    plain = make(inputs, MGNMParams(embedding_dim=8)).eval().embed()
    other = make(inputs, VARIANTS[variant]).eval().embed()
    assert not torch.allclose(plain.users, other.users)


@pytest.mark.parametrize("linear", [False, True])
def test_the_gate_passes_part_of_the_ids_into_the_hyperedges(linear: bool, inputs: Inputs) -> None:
    purifier = Purifier(
        inputs, "text", 4, 3, torch.Generator().manual_seed(0), factor=2, linear=linear
    )
    assert purifier.widen.weight.shape == (8, 8)
    with torch.no_grad():
        purifier.bias += 0.5
        purifier.widen.bias += 0.25  # type: ignore[operator]  # it has one
    hidden = inputs.features["text"] @ purifier.widen.weight.T + 0.25
    hidden = hidden if linear else leaky_relu(hidden)
    gate = 1 / (1 + (-(hidden @ purifier.narrow.T + 0.5)).exp())
    items = torch.randn(inputs.num_items, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(purifier(items), (items * gate) @ purifier.hyperedges.T)


def test_item_ids_before_propagation_decide_the_hyperedges(inputs: Inputs) -> None:
    model = make(inputs, MGNMParams(embedding_dim=8)).eval()
    expected = model.purifiers["of_text"](model.encoder.items)
    torch.testing.assert_close(model.affinities()[1], expected)


def test_the_redundancy_of_ids_is_that_of_layers_one_to_l(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    # More rows than there are: all of them, in another order.
    model = make(inputs, MGNMParams(embedding_dim=8, ddr_weight=3.0, ddr_rows=99))
    layers = model.encoder.layers()[1:]
    expected = torch.zeros(())
    for rows in (slice(0, inputs.num_users), slice(inputs.num_users, None)):
        penalties = torch.stack([redundancy(covariance(layer[rows])) for layer in layers])
        expected = expected + 2 / (1 / penalties).sum()
    measured = model.loss(make_batch(inputs))["ddr"]
    torch.testing.assert_close(measured, 3.0 * expected)


def test_the_redundancy_of_features_is_summed_over_modalities(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, MGNMParams(embedding_dim=8, feature_ddr_weight=3.0))
    expected = torch.zeros(())
    for modality in ("image", "text"):
        penalties = redundancy(
            torch.stack([torch.stack(pair) for pair in model._local(modality).covariances()])
        )
        expected = expected + (2 / (1 / penalties).sum(0)).sum()
    measured = model.loss(make_batch(inputs))["feature_ddr"]
    torch.testing.assert_close(measured, 3.0 * expected)


def test_without_layers_or_weight_there_is_no_redundancy_to_remove(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    unweighted = MGNMParams(embedding_dim=8, ddr_weight=0.0, feature_ddr_weight=0.0)
    for params in (unweighted, VARIANTS["no layers"]):
        terms = make(inputs, params).loss(make_batch(inputs))
        assert set(terms) == {"bpr", "reg", "contrast"}


def test_a_few_rows_estimate_the_redundancy(
    make_inputs: Callable[..., Inputs], make_batch: Callable[..., Batch]
) -> None:
    inputs = make_inputs({"text": 8}, num_users=400)
    batch = make_batch(inputs)
    whole = make(inputs, MGNMParams(embedding_dim=4, ddr_weight=1.0)).loss(batch)["ddr"]
    sampled = make(inputs, MGNMParams(embedding_dim=4, ddr_weight=1.0, ddr_rows=200))
    draws = torch.stack([sampled.loss(make_batch(inputs, n))["ddr"].detach() for n in range(20)])
    torch.testing.assert_close(draws.mean(), whole.detach(), rtol=0.05, atol=0.0)

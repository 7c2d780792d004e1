from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from models.decorrelation import covariance
from models.features import Projection
from models.inputs import Categories, Inputs
from models.local_branch import PropagatedFeatures, PropagatedProjection, local_branch

KINDS = (PropagatedFeatures, PropagatedProjection)


def make(kind: type, inputs: Inputs, num_layers: int) -> PropagatedFeatures | PropagatedProjection:
    generator = torch.Generator().manual_seed(0)
    branch: PropagatedFeatures | PropagatedProjection = kind(
        Projection(inputs, "image", 4, generator, bias=False), inputs, num_layers
    )
    return branch


def by_hand(inputs: Inputs, items: torch.Tensor, num_layers: int) -> torch.Tensor:
    users, num_items = inputs.num_users, inputs.num_items
    ratings = torch.zeros(users, num_items)
    ratings[inputs.edge_index[0], inputs.edge_index[1]] = 1.0
    adjacency = torch.zeros(users + num_items, users + num_items)
    adjacency[:users, users:] = ratings
    adjacency[users:, :users] = ratings.T
    alone = adjacency.sum(1) == 0
    adjacency[alone, alone] = 1.0
    adjacency[:, alone] *= torch.eye(len(alone))[:, alone]
    scale = adjacency.sum(1).rsqrt()
    adjacency = scale[:, None] * adjacency * scale
    preferences = ratings @ items / ratings.sum(1, keepdim=True).clamp_min(1.0)
    nodes = torch.cat([preferences, items])
    for _ in range(num_layers):
        nodes = adjacency @ nodes
    return nodes


@pytest.mark.parametrize("kind", KINDS)
def test_users_start_from_the_mean_of_their_items_and_the_last_layer_is_taken(
    kind: type, inputs: Inputs
) -> None:
    branch = make(kind, inputs, 2)
    expected = by_hand(inputs, inputs.features["image"] @ branch.projection.weight.T, 2)
    torch.testing.assert_close(branch(), expected)
    rows = torch.tensor([40, 3, 3])
    torch.testing.assert_close(branch(rows=rows), expected[rows])


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_without_interactions_keeps_its_features(kind: type, inputs: Inputs) -> None:
    branch = make(kind, inputs, 3)
    own = inputs.features["image"][0] @ branch.projection.weight.T
    torch.testing.assert_close(branch()[inputs.num_users], own)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_kept_propagates_the_mean_of_the_features(kind: type, inputs: Inputs) -> None:
    branch = make(kind, inputs, 2)
    mean = inputs.features["image"].mean(0).expand(inputs.num_items, -1)
    expected = by_hand(inputs, mean @ branch.projection.weight.T, 2)
    torch.testing.assert_close(branch(frozenset({"text"})), expected)
    rows = torch.tensor([40, 3])
    torch.testing.assert_close(branch(frozenset(), rows), expected[rows])


@pytest.mark.parametrize("kind", KINDS)
def test_covariances_are_those_of_layers_one_to_k(kind: type, inputs: Inputs) -> None:
    branch = make(kind, inputs, 2)
    projected = inputs.features["image"] @ branch.projection.weight.T
    pairs = branch.covariances()
    assert len(pairs) == 2
    for number, (users, items) in enumerate(pairs, start=1):
        layer = by_hand(inputs, projected, number)
        torch.testing.assert_close(users, covariance(layer[: inputs.num_users]))
        torch.testing.assert_close(items, covariance(layer[inputs.num_users :]))


@pytest.mark.parametrize("kind", KINDS)
def test_without_layers_there_is_no_covariance(kind: type, inputs: Inputs) -> None:
    assert make(kind, inputs, 0).covariances() == []


def test_only_narrow_dense_features_are_propagated_beforehand(
    make_inputs: Callable[..., Inputs],
) -> None:
    inputs = make_inputs({"image": 17, "text": 16})
    codes = Categories(torch.zeros(inputs.num_items, dtype=torch.int64), 1)
    inputs = replace(inputs, categories={"type": codes})
    kinds = [
        type(local_branch(inputs, modality, 4, 2, torch.Generator()))
        for modality in ("image", "text", "type")
    ]
    assert kinds == [PropagatedProjection, PropagatedFeatures, PropagatedProjection]

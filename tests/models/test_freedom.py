from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import logsigmoid

from models import FREEDOM
from models.baselines.freedom import FREEDOMParams
from models.inputs import Batch, Inputs, Neighbours
from models.item_graph import unweighted_item_graph
from training.errors import InvalidParams
from training.registry import parse_params


def make(inputs: Inputs, params: FREEDOMParams) -> FREEDOM:
    return FREEDOM(inputs, params, torch.Generator().manual_seed(0))


def dense_graph(neighbours: Neighbours) -> torch.Tensor:
    """D^-1/2 S D^-1/2 with S = 1 for every similar neighbour, written out."""
    size = len(neighbours.indices)
    joined = torch.zeros(size, size).scatter_(
        1, neighbours.indices, (neighbours.similarities > 0).float()
    )
    root = joined.sum(1).clamp_min(1e-12).rsqrt()
    return root[:, None] * joined * root


def test_similar_items_count_alike_and_dissimilar_ones_not_at_all() -> None:
    # Rows have 2, 2 and 1 similar neighbours: 1 / sqrt(2 * 2), 1 / sqrt(1 * 1).
    neighbours = Neighbours(
        torch.tensor([[0, 1], [1, 0], [2, 0]]),
        torch.tensor([[1.0, 0.5], [1.0, 0.1], [1.0, -0.3]]),
    )
    inputs = Inputs(1, 3, torch.tensor([[0], [1]]), neighbours={"text": neighbours})
    graph = unweighted_item_graph(inputs, "text", 2)
    expected = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(graph(torch.eye(3)), expected)


def test_an_item_is_its_collaborative_vector_plus_its_neighbours_ids(inputs: Inputs) -> None:
    params = FREEDOMParams(
        embedding_dim=8, k=5, num_item_layers=2, modality_weights={"text": 3.0, "image": 1.0}
    )
    model = make(inputs, params).eval()
    graph = 0.25 * dense_graph(inputs.neighbours["image"]) + 0.75 * dense_graph(
        inputs.neighbours["text"]
    )
    collaborative = model.encoder()
    vectors = model.embed()
    torch.testing.assert_close(vectors.users, collaborative.users)
    expected = collaborative.items + graph @ graph @ model.encoder.items
    # Item 0 has no pairs and borrows from its neighbours.
    torch.testing.assert_close(vectors.items[1:], expected[1:])


def test_modalities_weigh_alike_unless_told(inputs: Inputs) -> None:
    assert make(inputs, FREEDOMParams()).shares.tolist() == [0.5, 0.5]
    only_named = make(inputs, FREEDOMParams(modality_weights={"image": 0.25}))
    torch.testing.assert_close(only_named.shares, torch.tensor([0.2, 0.8]))


def test_weights_of_modalities_that_are_not_there_are_passed_over(inputs: Inputs) -> None:
    params = FREEDOMParams(modality_weights={"text": 0.9, "image": 0.1})
    assert make(inputs.only(["text"]), params).shares.tolist() == [1.0]


def test_weights_of_nothing_but_zero_are_refused(inputs: Inputs) -> None:
    params = FREEDOMParams(modality_weights={"text": 0.0, "image": 0.0})
    with pytest.raises(ValueError, match="all 0 for image, text"):
        make(inputs, params)


def test_the_loss_ranks_by_the_score_and_by_each_projection(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, FREEDOMParams(embedding_dim=8, feature_weight=0.5, reg_weight=0.0))
    batch = make_batch(inputs)
    vectors = model.embed()
    better, worse = batch.positive_items, batch.negative_items[:, 0]

    def ranked(items: torch.Tensor) -> torch.Tensor:
        users = vectors.users[batch.users]
        return -logsigmoid((users * (items[better] - items[worse])).sum(-1)).mean()

    terms = model.loss(batch)
    projected = [
        inputs.features[m] @ model.projections[f"of_{m}"].weight.T for m in model.modalities
    ]
    torch.testing.assert_close(terms["bpr"], ranked(vectors.items))
    torch.testing.assert_close(
        terms["features"], 0.5 * torch.stack([ranked(items) for items in projected]).sum()
    )


def test_the_norms_are_those_of_the_batch_s_ids(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, FREEDOMParams(embedding_dim=8, reg_weight=2.0))
    batch = make_batch(inputs, 0, 16)
    items = torch.cat([batch.positive_items, batch.negative_items[:, 0]])
    users = model.encoder.users[batch.users]
    squares = users.square().sum() + model.encoder.items[items].square().sum()
    torch.testing.assert_close(model.loss(batch)["reg"], squares / 16)


def test_the_graph_of_an_ablated_modality_is_the_identity(inputs: Inputs) -> None:
    model = make(inputs, FREEDOMParams(embedding_dim=8, k=5)).eval()
    graph = 0.5 * torch.eye(inputs.num_items) + 0.5 * dense_graph(inputs.neighbours["text"])
    expected = model.encoder().items + graph @ model.encoder.items
    torch.testing.assert_close(model.embed(frozenset({"text"})).items[1:], expected[1:])


def test_neighbours_without_features_are_not_enough(inputs: Inputs) -> None:
    with pytest.raises(ValueError, match="features"):
        make(replace(inputs, features={}), FREEDOMParams(k=5))


def test_weights_of_modalities_are_read_from_settings_and_not_negative() -> None:
    params = parse_params("freedom", {"modality_weights": {"text": 0.9, "image": 0.1}})
    assert params == FREEDOMParams(modality_weights={"text": 0.9, "image": 0.1})
    with pytest.raises(InvalidParams, match=r"modality_weights\.text"):
        parse_params("freedom", {"modality_weights": {"text": -0.9}})

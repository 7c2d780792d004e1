from collections.abc import Callable

import pytest
import torch
from tiny_inputs import unreached
from torch.nn.functional import normalize

from models import MICRO
from models.inputs import Batch, Inputs, Neighbours
from models.item_graph import as_matrix, edge_weights, knn
from models.micro import MICROParams

ABLATIONS = {
    "CF + feats": MICROParams(item_graph=False, embedding_dim=8),
    "MICRO / feats": MICROParams(item_input="features", embedding_dim=8),
    "w/o fusion": MICROParams(fusion=False, embedding_dim=8),
    "w/o specific": MICROParams(specific=False, embedding_dim=8),
    "w/o preference": MICROParams(user_preference=False, embedding_dim=8),
    "mf": MICROParams(backbone="mf", embedding_dim=8),
    "ngcf": MICROParams(backbone="ngcf", embedding_dim=8),
    "random walk": MICROParams(adjacency="random_walk", embedding_dim=8),
    "frozen graphs": MICROParams(skip=1.0, embedding_dim=8),
    "two layers": MICROParams(num_item_layers=2, embedding_dim=8),
}


def make(inputs: Inputs, params: MICROParams) -> MICRO:
    return MICRO(inputs, params, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("variant", ABLATIONS)
def test_every_variant_learns(
    variant: str, board: Inputs, teach: Callable[..., list[float]]
) -> None:
    losses = teach(make(board, ABLATIONS[variant]), board, 30)
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])


@pytest.mark.parametrize("variant", ABLATIONS)
def test_in_every_variant_the_gradient_reaches_every_parameter(
    variant: str, inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    assert unreached(make(inputs, ABLATIONS[variant]), make_batch(inputs)) == []


def test_knn_finds_the_most_similar_items_and_the_item_itself() -> None:
    features = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.0, 0.0]])
    found = knn(features, 2)
    assert found.indices[0].tolist() == [0, 1]
    assert found.indices[2].tolist() == [2, 1]
    assert found.similarities[3].tolist() == [0.0, 0.0]


def test_edges_are_normalised_by_the_root_of_both_row_sums() -> None:
    # Row sums: 1.5, 1.5, 1.0. The negative similarity of the last row counts as 0.
    neighbours = Neighbours(
        torch.tensor([[0, 1], [1, 0], [2, 0]]),
        torch.tensor([[1.0, 0.5], [1.0, 0.5], [1.0, -0.3]]),
    )
    expected = torch.tensor([[1 / 1.5, 0.5 / 1.5], [1 / 1.5, 0.5 / 1.5], [1.0, 0.0]])
    torch.testing.assert_close(edge_weights(neighbours), expected)


def test_the_score_is_equation_17(inputs: Inputs) -> None:
    params = MICROParams(embedding_dim=8, specific=False, skip=1.0, k=5)
    model = make(inputs, params).eval()
    tables = model.encoder()
    per_modality = [
        as_matrix(inputs.neighbours[m], edge_weights(inputs.neighbours[m]))(model.encoder.items)
        for m in model.modalities
    ]
    stacked = torch.stack(per_modality)
    attention = torch.tanh(stacked @ model.attention.weight.T + model.attention.bias)
    alpha = (attention @ model.common_query).softmax(0)
    h = (alpha[..., None] * stacked).sum(0)
    ratings = torch.zeros(inputs.num_users, inputs.num_items)
    ratings[inputs.edge_index[0], inputs.edge_index[1]] = 1.0
    preference = ratings @ h / ratings.sum(1, keepdim=True).clamp_min(1.0)
    vectors = model.embed()
    # Item 0 has no pairs and borrows from its neighbours.
    torch.testing.assert_close(vectors.items[1:], (tables.items + normalize(h, dim=-1))[1:])
    torch.testing.assert_close(vectors.users, tables.users + normalize(preference, dim=-1))


def test_the_specific_parts_are_what_the_common_part_leaves_out(inputs: Inputs) -> None:
    fused = make(inputs, MICROParams(embedding_dim=8))._fuse(None)
    for hidden, specific in zip(fused.per_modality, fused.specific, strict=True):
        torch.testing.assert_close(specific + fused.common, hidden)


def test_contrast_over_all_items_is_equation_10_with_its_logarithm(inputs: Inputs) -> None:
    params = MICROParams(embedding_dim=8, contrast_samples=inputs.num_items, temperature=0.5)
    model = make(inputs, params)
    fused = model._fuse(None)
    losses = []
    for hidden in fused.per_modality:
        between = (normalize(hidden) @ normalize(fused.common).T / 0.5).exp()
        within = (normalize(hidden) @ normalize(hidden).T / 0.5).exp()
        others = 1 - torch.eye(inputs.num_items)
        total = between.diagonal() + ((between + within) * others).sum(1)
        losses.append(-(between.diagonal() / total).log().mean())
    measured = model._contrast(fused, torch.Generator().manual_seed(0))
    torch.testing.assert_close(measured, torch.stack(losses).mean())


def test_a_sampled_contrast_estimates_the_full_one(inputs: Inputs) -> None:
    full = make(inputs, MICROParams(embedding_dim=8, contrast_samples=inputs.num_items))
    sampled = make(inputs, MICROParams(embedding_dim=8, contrast_samples=12))
    fused = full._fuse(None)
    draws = [
        sampled._contrast(fused, torch.Generator().manual_seed(seed)).detach() for seed in range(64)
    ]
    expected = full._contrast(fused, torch.Generator().manual_seed(0)).detach()
    torch.testing.assert_close(torch.stack(draws).mean(), expected, rtol=0.02, atol=0.0)


def test_the_learned_graph_is_rebuilt_from_the_transformed_features(inputs: Inputs) -> None:
    model = make(inputs, MICROParams(embedding_dim=8, rebuild_every=2))
    graph = model.graphs["of_image"]
    with torch.no_grad():
        graph.weight.copy_(torch.randn(graph.weight.shape, generator=torch.Generator()))
    stale = graph.joined.clone()
    model.refresh(1, torch.Generator().manual_seed(0))
    assert torch.equal(graph.joined, stale)
    model.refresh(2, torch.Generator().manual_seed(0))
    assert torch.equal(graph.joined, knn(graph.transformed(), graph.joined.shape[1]).indices)
    assert not torch.equal(graph.joined, stale)


def test_too_few_published_neighbours_without_features_are_refused(inputs: Inputs) -> None:
    few = Inputs(inputs.num_users, inputs.num_items, inputs.edge_index, {}, dict(inputs.neighbours))
    with pytest.raises(ValueError, match="fewer than k = 10 neighbours"):
        make(few, MICROParams(k=10))


def test_what_the_learned_graph_joins_is_part_of_the_state(inputs: Inputs) -> None:
    params = MICROParams(embedding_dim=8, skip=0.0)
    model, other = make(inputs, params), make(inputs, params)
    with torch.no_grad():
        weight = model.graphs["of_image"].weight
        weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    model.refresh(10, torch.Generator().manual_seed(0))
    assert not torch.allclose(model.eval().embed().items, other.eval().embed().items)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(model.embed().items, other.embed().items)

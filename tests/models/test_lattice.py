from collections.abc import Callable

import pytest
import torch
from tiny_inputs import unreached
from torch.nn.functional import normalize

from models import LATTICE, MICRO
from models.baselines.lattice import LATTICEParams
from models.inputs import Batch, Inputs
from models.item_graph import LearnedGraph, as_matrix, edge_weights
from models.micro import MICROParams

VARIANTS = {
    "ngcf": LATTICEParams(backbone="ngcf", embedding_dim=8),
    "mf": LATTICEParams(backbone="mf", embedding_dim=8),
    "random walk": LATTICEParams(adjacency="random_walk", embedding_dim=8),
    "frozen graphs": LATTICEParams(skip=1.0, embedding_dim=8),
    "only learned graphs": LATTICEParams(skip=0.0, embedding_dim=8),
    "two layers": LATTICEParams(num_item_layers=2, embedding_dim=8),
}


def make(inputs: Inputs, params: LATTICEParams) -> LATTICE:
    return LATTICE(inputs, params, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_learns(
    variant: str, board: Inputs, teach: Callable[..., list[float]]
) -> None:
    losses = teach(make(board, VARIANTS[variant]), board, 30)
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])


@pytest.mark.parametrize("variant", VARIANTS)
def test_in_every_variant_the_gradient_reaches_every_parameter(
    variant: str, inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    assert unreached(make(inputs, VARIANTS[variant]), make_batch(inputs)) == []


def test_items_are_propagated_over_one_graph_of_all_modalities(inputs: Inputs) -> None:
    params = LATTICEParams(embedding_dim=8, k=5, skip=1.0, num_item_layers=2)
    model = make(inputs, params).eval()
    with torch.no_grad():
        model.importance["of_text"].fill_(1.0)
    # softmax of (image 0, text 1)
    text = float(torch.tensor(1.0).exp() / (1.0 + torch.tensor(1.0).exp()))
    eye = torch.eye(inputs.num_items)
    image_graph, text_graph = (
        as_matrix(inputs.neighbours[m], edge_weights(inputs.neighbours[m]))(eye)
        for m in ("image", "text")
    )
    graph = (1 - text) * image_graph + text * text_graph
    collaborative = model.encoder()
    hidden = graph @ graph @ model.encoder.items
    vectors = model.embed()
    torch.testing.assert_close(vectors.users, collaborative.users)
    expected = collaborative.items + normalize(hidden, dim=-1)
    # Item 0 has no pairs and borrows from its neighbours.
    torch.testing.assert_close(vectors.items[1:], expected[1:])


def test_a_learned_graph_and_its_gradient_are_equations_4_and_5(inputs: Inputs) -> None:
    features, initial = inputs.features["text"], inputs.neighbours["text"]
    graph = LearnedGraph(initial, features, 0.3, 4, torch.Generator().manual_seed(0))
    dense = torch.randn(inputs.num_items, 3, generator=torch.Generator().manual_seed(1))
    dense.requires_grad_()
    unit = normalize(features @ graph.weight.T + graph.bias, dim=-1)
    top = (unit @ unit.T).topk(5).indices
    close = (unit @ unit.T).clamp_min(0.0) * torch.zeros_like(unit @ unit.T).scatter(1, top, 1.0)
    root = close.sum(1).rsqrt()
    raw = as_matrix(initial, edge_weights(initial))(torch.eye(inputs.num_items))
    expected = (0.3 * raw + 0.7 * root[:, None] * close * root) @ dense
    torch.testing.assert_close(graph(dense), expected)
    wanted = torch.autograd.grad(expected.square().sum(), (dense, graph.weight, graph.bias))
    found = torch.autograd.grad(graph(dense).square().sum(), (dense, graph.weight, graph.bias))
    torch.testing.assert_close(found, wanted)


def test_with_one_layer_it_is_micro_without_fusion_and_preference(inputs: Inputs) -> None:
    shared = {"embedding_dim": 8, "skip": 0.7, "k": 5}
    lattice = make(inputs, LATTICEParams(**shared)).eval()
    micro = MICRO(
        inputs,
        MICROParams(**shared, fusion=False, user_preference=False),
        torch.Generator().manual_seed(0),
    ).eval()
    torch.testing.assert_close(lattice.embed().items, micro.embed().items)
    torch.testing.assert_close(lattice.embed().users, micro.embed().users)


def test_the_learned_graphs_are_rebuilt_when_it_is_their_turn(inputs: Inputs) -> None:
    model = make(inputs, LATTICEParams(embedding_dim=8, rebuild_every=2))
    graph = model.item_graph.graphs["of_image"]
    assert isinstance(graph, LearnedGraph)
    with torch.no_grad():
        graph.weight.copy_(torch.randn(graph.weight.shape, generator=torch.Generator()))
    stale = graph.joined.clone()
    model.refresh(1, torch.Generator().manual_seed(0))
    assert torch.equal(graph.joined, stale)
    model.refresh(2, torch.Generator().manual_seed(0))
    assert not torch.equal(graph.joined, stale)


def test_the_norms_are_those_of_the_batch_s_final_vectors(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, LATTICEParams(embedding_dim=8, reg_weight=2.0))
    batch = make_batch(inputs, 0, 16)
    vectors = model.embed()
    items = vectors.items[torch.cat([batch.positive_items, batch.negative_items[:, 0]])]
    squares = vectors.users[batch.users].square().sum() + items.square().sum()
    torch.testing.assert_close(model.loss(batch)["reg"], squares / 16)


def test_an_importance_belongs_to_its_modality(inputs: Inputs) -> None:
    groups = make(inputs, LATTICEParams(embedding_dim=8)).param_groups()
    assert {len(groups["image"]), len(groups["text"])} == {3}  # importance, W and b

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from models import GAT
from models.attention import AttentionGraph, AttentionLayer, Design, Kind, Networks, attend
from models.baselines.gat import GATParams
from models.inputs import Inputs

# Users 0 and 1, items 0 to 2 (nodes 2 to 4); item 2 has no user.
EDGES = torch.tensor([[0, 0, 1], [0, 1, 1]])
NEIGHBOURS = {0: [2, 3], 1: [3], 2: [0], 3: [0, 1], 4: []}
TINY = Inputs(2, 3, EDGES)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def layers(count: int, width: int = 4) -> list[AttentionLayer]:
    return [AttentionLayer(width, seeded(number), identity=False) for number in range(count)]


def by_hand(layer: AttentionLayer, hidden: Tensor, *, self_loops: bool) -> Tensor:
    """GAT's Eq. 1-4, one node after another."""
    mapped = hidden @ layer.weight.T
    rows = []
    for node, others in NEIGHBOURS.items():
        around = [*others, node] if self_loops else others
        pairs = [
            torch.cat([mapped[node], mapped[other]]) @ layer.ends.flatten() for other in around
        ]
        if pairs:
            alpha = leaky_relu(torch.stack(pairs), 0.2).softmax(0)
            rows.append(alpha @ mapped[around])
        else:
            rows.append(torch.zeros(mapped.shape[1]))
    return torch.stack(rows)


@pytest.mark.parametrize("self_loops", [True, False])
def test_every_network_attends_with_its_own_weights(self_loops: bool) -> None:
    two = layers(2)
    hidden = torch.randn(2, 5, 4, generator=seeded())
    graph = AttentionGraph(EDGES, 2, 3, networks=2, self_loops=self_loops)
    result = attend(graph, two, hidden)
    torch.testing.assert_close(result[0], by_hand(two[0], hidden[0], self_loops=self_loops))
    torch.testing.assert_close(result[1], by_hand(two[1], hidden[1], self_loops=self_loops))


def test_scaled_and_even_attention_is_the_symmetric_normalisation() -> None:
    layer = AttentionLayer(4, seeded(), identity=True)
    layer.ends.data.zero_()
    hidden = torch.randn(1, 5, 4, generator=seeded())
    adjacency = torch.eye(5)
    for node, others in NEIGHBOURS.items():
        adjacency[node, others] = 1.0
    scale = adjacency.sum(1).rsqrt()
    result = attend(AttentionGraph(EDGES, 2, 3, scaled=True), [layer], hidden)
    torch.testing.assert_close(result[0], scale[:, None] * adjacency * scale @ hidden[0])


def networks(design: Design, inputs: Inputs = TINY) -> Networks:
    return Networks(inputs, ["a", "b"], 4, design, seeded()).eval()


def test_the_layers_are_averaged_or_the_last_one_is_taken() -> None:
    hidden = torch.randn(2, 5, 4, generator=seeded())
    mean = networks(Design(num_layers=2))
    last = networks(Design(num_layers=2, layer_sum="last"))
    first = leaky_relu(attend(mean.full, mean._at(0), hidden), 0.2)
    second = attend(mean.full, mean._at(1), first)
    torch.testing.assert_close(mean(hidden), (hidden + first + second) / 3)
    torch.testing.assert_close(last(hidden), second)


def test_the_last_activation_bends_the_last_layer() -> None:
    hidden = torch.randn(2, 5, 4, generator=seeded())
    plain = Design(num_layers=1, layer_sum="last")
    bent = networks(replace(plain, last_activation=True))(hidden)
    torch.testing.assert_close(bent, leaky_relu(networks(plain)(hidden), 0.2))


def test_matrices_start_as_the_identity_or_at_random() -> None:
    assert torch.equal(networks(Design())._at(0)[0].weight, torch.eye(4))
    assert not torch.equal(networks(Design(identity=False))._at(0)[0].weight, torch.eye(4))


def test_lightgcn_is_an_encoder_too() -> None:
    hidden = torch.randn(2, 5, 4, generator=seeded())
    adjacency = torch.zeros(5, 5)
    adjacency[EDGES[0], 2 + EDGES[1]] = 1.0
    adjacency = adjacency + adjacency.T
    scale = adjacency.sum(1).clamp_min(1.0).rsqrt()
    step = scale[:, None] * adjacency * scale
    expected = (hidden + step @ hidden + step @ step @ hidden) / 3
    torch.testing.assert_close(networks(Design(kind="lightgcn"))(hidden), expected)


@pytest.mark.parametrize("times", [1, 3], ids=["fewer than nodes", "more than nodes"])
@pytest.mark.parametrize("kind", ["gat", "lightgcn"])
def test_rows_choose_among_the_nodes(kind: Kind, times: int) -> None:
    model = networks(Design(kind=kind))
    hidden = torch.randn(2, 5, 4, generator=seeded())
    rows = torch.tensor([4, 0, 0]).repeat(times)
    torch.testing.assert_close(model(hidden, rows), model(hidden)[:, rows])


@pytest.mark.parametrize("kind", ["gat", "lightgcn"])
def test_training_sees_a_share_of_the_edges_and_evaluation_all(kind: Kind, inputs: Inputs) -> None:
    model = networks(Design(kind=kind, edge_share=0.3), inputs)
    hidden = torch.randn(2, inputs.num_users + inputs.num_items, 4, generator=seeded())
    before = model(hidden)
    model.refresh(seeded())
    assert torch.equal(model(hidden), before)
    assert not torch.equal(model.train()(hidden), before)


def test_the_score_of_gat_comes_from_attended_ids(inputs: Inputs) -> None:
    model = GAT(inputs, GATParams(embedding_dim=4, num_layers=1), seeded()).eval()
    ids = torch.cat([model.users, model.items])
    graph = AttentionGraph(inputs.edge_index, *model.networks.sizes)
    attended = attend(graph, model.networks._at(0), ids[None])[0]
    vectors = model.embed()
    torch.testing.assert_close(torch.cat([vectors.users, vectors.items]), (ids + attended) / 2)


SWITCHES = [
    GATParams(embedding_dim=8, layer_sum="last"),
    GATParams(embedding_dim=8, self_loops=False),
    GATParams(embedding_dim=8, last_activation=True),
    GATParams(embedding_dim=8, scaled=True),
    GATParams(embedding_dim=8, identity=False),
    GATParams(embedding_dim=8, edge_share=0.5),
    GATParams(embedding_dim=8, num_layers=0),
]


@pytest.mark.parametrize("params", SWITCHES)
def test_every_variant_learns(
    params: GATParams, board: Inputs, teach: Callable[..., list[float]]
) -> None:
    losses = teach(GAT(board, params, seeded()), board, 30)
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])

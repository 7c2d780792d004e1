from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import leaky_relu, normalize

from models import EgoGCN
from models.baselines.egogcn import EgoGCNParams
from models.inputs import Batch, Inputs
from models.losses import bpr


# Any: the parameters have types of their own.
def make(inputs: Inputs, **changes: Any) -> EgoGCN:
    params = EgoGCNParams(embedding_dim=4, **changes)
    return EgoGCN(inputs, params, torch.Generator().manual_seed(0)).eval()


def neighbours(inputs: Inputs) -> torch.Tensor:
    """The interactions in both directions, bool [num_nodes, num_nodes]."""
    size = inputs.num_users + inputs.num_items
    joined = torch.zeros(size, size, dtype=torch.bool)
    users, items = inputs.edge_index[0], inputs.num_users + inputs.edge_index[1]
    joined[users, items] = joined[items, users] = True
    return joined


def attention(logits: torch.Tensor, joined: torch.Tensor) -> torch.Tensor:
    return logits.masked_fill(~joined, -torch.inf).softmax(1).nan_to_num(0.0)


def initial(model: EgoGCN, inputs: Inputs) -> dict[str, torch.Tensor]:
    named = dict(model.named_parameters())
    nodes = {}
    for modality in ("image", "text"):
        weight, bias = (named[f"projections.of_{modality}.{part}"] for part in ("weight", "bias"))
        items = leaky_relu(inputs.features[modality] @ weight.T + bias)
        nodes[modality] = normalize(torch.cat([named[f"preferences.of_{modality}"], items]), dim=-1)
    return nodes


def image_part(model: EgoGCN) -> torch.Tensor:
    """What stands behind the ID vectors, of width 4."""
    vectors = model.embed()
    return torch.cat([vectors.users, vectors.items])[:, 4:8]


def test_soft_modulation_gates_what_the_other_modality_adds(inputs: Inputs) -> None:
    model = make(inputs, num_routings=0)
    nodes, joined = initial(model, inputs), neighbours(inputs)
    named = dict(model.named_parameters())
    gate = "gates.of_image.from_text"
    opened = torch.sigmoid(nodes["text"] @ named[f"{gate}.weight"] + named[f"{gate}.bias"])
    message = (nodes["image"] + opened * nodes["text"]) / 2
    alpha = attention(nodes["image"] @ message.T, joined)
    expected = normalize(nodes["image"] + alpha @ message, dim=-1)
    torch.testing.assert_close(image_part(model), expected)


def test_hard_modulation_mixes_over_edges_of_high_attention_only(inputs: Inputs) -> None:
    model = make(inputs, num_routings=0, modulation="hard", threshold=0.2)
    nodes, joined = initial(model, inputs), neighbours(inputs)
    own, mixed = nodes["image"], (nodes["image"] + nodes["text"]) / 2
    mixes = attention(own @ own.T, joined) > 0.2
    assert bool(mixes.any())
    assert bool((joined & ~mixes).any())
    alpha = attention(torch.where(mixes, own @ mixed.T, own @ own.T), joined)
    received = (alpha * mixes) @ mixed + (alpha * ~mixes) @ own
    torch.testing.assert_close(image_part(model), normalize(own + received, dim=-1))


def test_a_routing_adds_the_neighbours_by_attention(inputs: Inputs) -> None:
    fused = image_part(make(inputs, num_routings=0))
    alpha = attention(fused @ fused.T, neighbours(inputs))
    expected = normalize(fused + alpha @ fused, dim=-1)
    torch.testing.assert_close(image_part(make(inputs, num_routings=1)), expected)


def test_ids_are_propagated_beside_the_modalities(inputs: Inputs) -> None:
    model = make(inputs)
    torch.testing.assert_close(model.embed().users[:, :4], model.encoder().users)


def test_one_modality_has_nothing_to_mix(inputs: Inputs) -> None:
    text = inputs.only(["text"])
    soft, hard = make(text), make(text, modulation="hard", threshold=0.0)
    torch.testing.assert_close(soft.embed().items, hard.embed().items)


@pytest.mark.parametrize("modulation", ["soft", "hard"])
def test_the_gradient_reaches_every_parameter(
    inputs: Inputs, make_batch: Callable[..., Batch], modulation: str
) -> None:
    model = make(inputs, modulation=modulation, threshold=0.2)
    torch.stack(list(model.loss(make_batch(inputs)).values())).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("num_routings", [0, 1, 2])
def test_a_batch_is_scored_and_learned_from_as_all_nodes_are(
    inputs: Inputs, make_batch: Callable[..., Batch], num_routings: int
) -> None:
    model, batch = make(inputs, num_routings=num_routings), make_batch(inputs)
    losses = model.loss(batch)["bpr"], bpr(model.embed(), batch)
    torch.testing.assert_close(*losses)
    of_batch, of_all = (
        torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)
        for loss in losses
    )
    torch.testing.assert_close(of_batch, of_all)


def test_the_penalty_is_on_the_ids_and_preferences_of_the_batch(inputs: Inputs) -> None:
    model = make(inputs, reg_weight=2.0)
    batch = Batch(
        torch.tensor([3]), torch.tensor([5]), torch.tensor([[7]]), torch.Generator().manual_seed(0)
    )
    tables = [
        model.encoder.users[3], model.encoder.items[5], model.encoder.items[7],
        model.preferences["of_image"][3], model.preferences["of_text"][3],
    ]  # fmt: skip
    torch.testing.assert_close(model.loss(batch)["reg"], torch.cat(tables).square().sum())

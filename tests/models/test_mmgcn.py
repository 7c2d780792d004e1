from collections.abc import Callable

import torch
from torch.nn.functional import leaky_relu, normalize

from models import MMGCN
from models.baselines.mmgcn import MMGCNParams
from models.inputs import Batch, Inputs
from models.losses import bpr


def make(inputs: Inputs, **changes: float) -> MMGCN:
    params = MMGCNParams(embedding_dim=4, **changes)  # type: ignore[arg-type]  # no counts here
    return MMGCN(inputs, params, torch.Generator().manual_seed(0)).eval()


def neighbour_means(inputs: Inputs) -> torch.Tensor:
    """D^-1 A as a dense matrix."""
    size = inputs.num_users + inputs.num_items
    adjacency = torch.zeros(size, size)
    users, items = inputs.edge_index[0], inputs.num_users + inputs.edge_index[1]
    adjacency[users, items] = adjacency[items, users] = 1.0
    return adjacency / adjacency.sum(1, keepdim=True).clamp_min(1.0)


def network(model: MMGCN, inputs: Inputs, modality: str) -> torch.Tensor:
    """Two layers of one modality, with dense matrices."""
    named = dict(model.named_parameters())
    slot = f"of_{modality}"
    items = inputs.features[modality] @ named[f"projections.{slot}.weight"].T
    items = items + named[f"projections.{slot}.bias"]
    hidden = normalize(torch.cat([named[f"preferences.{slot}"], items]), dim=-1)
    identity = torch.cat([named["users"], named["items"]])
    means = neighbour_means(inputs)
    for depth in (0, 1):
        layer = f"layers.{slot}.{depth}"
        message = leaky_relu(means @ (hidden @ named[f"{layer}.neighbour"]))
        own = leaky_relu(hidden @ named[f"{layer}.own"] + named[f"{layer}.own_bias"]) + identity
        hidden = leaky_relu(message @ named[f"{layer}.combine"] + named[f"{layer}.bias"] + own)
    return hidden


def test_the_nodes_are_the_mean_of_the_networks_of_the_modalities(inputs: Inputs) -> None:
    model = make(inputs)
    expected = (network(model, inputs, "image") + network(model, inputs, "text")) / 2
    vectors = model.embed()
    torch.testing.assert_close(torch.cat([vectors.users, vectors.items]), expected)


def test_a_batch_is_scored_as_all_nodes_are(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model, batch = make(inputs), make_batch(inputs)
    torch.testing.assert_close(model.loss(batch)["bpr"], bpr(model.embed(), batch))


def test_preferences_and_ids_are_trained_and_stored(inputs: Inputs) -> None:
    stored = set(make(inputs).state_dict())
    tables = {"users", "items", "preferences.of_image", "preferences.of_text"}
    assert tables <= stored
    assert tables <= {name for name, _ in make(inputs).named_parameters()}


def test_the_penalty_is_on_the_ids_and_preferences_of_the_batch(inputs: Inputs) -> None:
    model = make(inputs, reg_weight=2.0)
    batch = Batch(
        torch.tensor([3]), torch.tensor([5]), torch.tensor([[7]]), torch.Generator().manual_seed(0)
    )
    tables = [
        model.users[3], model.items[5], model.items[7],
        model.preferences["of_image"][3], model.preferences["of_text"][3],
    ]  # fmt: skip
    # Twice the weight of half the squared norms.
    torch.testing.assert_close(model.loss(batch)["reg"], torch.cat(tables).square().sum())

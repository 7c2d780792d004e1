from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, normalize

from models import DualGNN
from models.baselines.dualgnn import DualGNNParams
from models.inputs import Batch, Inputs


def make(inputs: Inputs, **params: float) -> DualGNN:
    chosen = replace(DualGNNParams(embedding_dim=8), **params)  # type: ignore[arg-type]  # by name
    model = DualGNN(inputs, chosen, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weights in model.weights.values():
            weights.normal_(generator=torch.Generator().manual_seed(len(weights)))
    return model


def dense(inputs: Inputs) -> Tensor:
    ratings = torch.zeros(inputs.num_users, inputs.num_items)
    ratings[inputs.edge_index[0], inputs.edge_index[1]] = 1.0
    return ratings


def propagated(model: DualGNN, inputs: Inputs, name: str) -> Tensor:
    """x + A x + A A x of one modality by dense matrices."""
    ratings, users = dense(inputs), inputs.num_users
    adjacency = torch.zeros(users + inputs.num_items, users + inputs.num_items)
    adjacency[:users, users:], adjacency[users:, :users] = ratings, ratings.T
    scale = adjacency.sum(1).clamp_min(1.0).rsqrt()
    adjacency = scale[:, None] * adjacency * scale
    items = leaky_relu(model.projections[name]()) @ model.outputs[name].T
    nodes = normalize(torch.cat([model.preferences[name], items]), dim=-1)
    return nodes + adjacency @ nodes + adjacency @ adjacency @ nodes


def test_items_are_the_sum_of_the_modalities(inputs: Inputs) -> None:
    model = make(inputs)
    both = propagated(model, inputs, "of_image") + propagated(model, inputs, "of_text")
    torch.testing.assert_close(model.embed().items, both[inputs.num_users :])


def test_users_weigh_modalities_and_add_those_who_like_the_same_items(inputs: Inputs) -> None:
    model = make(inputs, num_neighbours=inputs.num_users)
    weights = torch.stack([model.weights["of_image"], model.weights["of_text"]], -1).softmax(-1)
    fused = sum(
        weights[:, [place]] * propagated(model, inputs, name)[: inputs.num_users]
        for place, name in enumerate(("of_image", "of_text"))
    )
    common = dense(inputs) @ dense(inputs).T
    common.fill_diagonal_(0.0)
    attention = common.masked_fill(common == 0, -torch.inf).softmax(-1).nan_to_num(0.0)
    torch.testing.assert_close(model.embed().users, fused + attention @ fused)


def test_only_the_nearest_users_are_joined(inputs: Inputs) -> None:
    model = make(inputs, num_neighbours=2)
    per_user = model.neighbours.offsets.diff()
    assert int(per_user.max()) == 2
    assert int(per_user[0]) == 0  # user 0 has no item and so no neighbour
    sums = model.neighbours(torch.ones(inputs.num_users, 1))
    torch.testing.assert_close(sums[1:], torch.ones(inputs.num_users - 1, 1))


def test_evaluation_sees_the_last_step_of_training(
    inputs: Inputs, teach: Callable[..., list[float]]
) -> None:
    model = make(inputs)
    before = model.eval().embed().items
    teach(model, inputs, 1)
    assert not torch.equal(model.embed().items, before)


def test_the_preferences_of_the_batch_are_regularised(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model, batch = make(inputs, reg_weight=0.5), make_batch(inputs)
    rows = [table[batch.users] for table in model.preferences.values()]
    expected = 0.5 * torch.cat(rows).square().sum() / (2 * len(batch.users))
    torch.testing.assert_close(model.loss(batch)["reg"], expected)

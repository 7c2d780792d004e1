from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, normalize, softplus

from models import GRCN
from models.baselines.grcn import GRCNParams
from models.inputs import Batch, Inputs


def make(inputs: Inputs, **params: float) -> GRCN:
    chosen = replace(GRCNParams(embedding_dim=8), **params)  # type: ignore[arg-type]  # by name
    return GRCN(inputs, chosen, torch.Generator().manual_seed(0))


def dense(inputs: Inputs) -> Tensor:
    ratings = torch.zeros(inputs.num_users, inputs.num_items)
    ratings[inputs.edge_index[0], inputs.edge_index[1]] = 1.0
    return ratings


def affinity(targets: Tensor, sources: Tensor, joined: Tensor) -> Tensor:
    """Softmax of the dot products over the joined sources; zero where nothing is joined."""
    logits = (targets @ sources.T).masked_fill(joined == 0, -torch.inf)
    return logits.softmax(1).nan_to_num(0.0)


def test_prototypes_move_to_the_items_they_fit(inputs: Inputs) -> None:
    model, joined = make(inputs, num_routings=2), dense(inputs)
    items = normalize(leaky_relu(model.projections["of_text"]()), dim=-1)
    users = normalize(model.preferences["of_text"], dim=-1)
    users = normalize(users + affinity(users, items, joined) @ items, dim=-1)
    users = normalize(users + affinity(users, items, joined) @ items, dim=-1)
    of_text = model.components()[2]
    torch.testing.assert_close(of_text.users, users + affinity(users, items, joined) @ items)
    torch.testing.assert_close(of_text.items, items + affinity(items, users, joined.T) @ users)


def test_ids_propagate_over_the_edges_that_content_weighs(inputs: Inputs) -> None:
    model, joined = make(inputs, num_routings=0, num_layers=2), dense(inputs)
    with torch.no_grad():
        model.item_trust["of_image"].uniform_(-2, 2, generator=torch.Generator().manual_seed(1))
        model.user_trust["of_text"].uniform_(-2, 2, generator=torch.Generator().manual_seed(2))
    to_users, to_items = [], []
    for name in ("of_image", "of_text"):
        items = normalize(leaky_relu(model.projections[name]()), dim=-1)
        users = normalize(model.preferences[name], dim=-1)
        to_users.append(softplus(model.item_trust[name]) * affinity(users, items, joined))
        to_items.append(softplus(model.user_trust[name]) * affinity(items, users, joined.T))
    to_user, to_item = torch.stack(to_users).amax(0), torch.stack(to_items).amax(0)
    users, items = normalize(model.users, dim=-1), normalize(model.items, dim=-1)
    first_users, first_items = to_user @ items, to_item @ users
    ids = model.components()[0]
    torch.testing.assert_close(ids.users, users + first_users + to_user @ first_items)
    torch.testing.assert_close(ids.items, items + first_items + to_item @ first_users)


def test_every_node_trusts_every_modality_at_first(inputs: Inputs) -> None:
    model = make(inputs)
    torch.testing.assert_close(softplus(model.user_trust["of_text"]), torch.ones(model.num_users))


def test_an_edge_that_is_pruned_almost_wholly_can_come_back(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs)
    with torch.no_grad():
        for trust in [*model.item_trust.values(), *model.user_trust.values()]:
            trust.fill_(-8.0)
    model.loss(make_batch(inputs))["bpr"].backward()
    gradients = [p.grad for p in [*model.item_trust.values(), *model.user_trust.values()]]
    assert all(g is not None and bool(g.any()) for g in gradients)


def test_the_loss_scores_with_all_components(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model, batch = make(inputs), make_batch(inputs)
    vectors = model.embed()
    users = vectors.users[batch.users]
    positive = (users * vectors.items[batch.positive_items]).sum(-1)
    negative = (users * vectors.items[batch.negative_items[:, 0]]).sum(-1)
    expected = -torch.log(torch.sigmoid(positive - negative)).mean()
    torch.testing.assert_close(model.loss(batch)["bpr"], expected)


def biased(inputs: Inputs, *, unit_features: bool) -> GRCN:
    """A model past its start, where biases are 0 and normalisation hides every scale."""
    model = make(inputs, unit_features=unit_features)
    for name, parameter in model.projections.named_parameters():
        if name.endswith("bias"):
            parameter.data.fill_(0.1)
    return model


def test_unit_features_do_not_depend_on_their_scale(inputs: Inputs) -> None:
    larger = replace(inputs, features={m: 10.0 * rows for m, rows in inputs.features.items()})
    vectors, same = (biased(data, unit_features=True).embed() for data in (inputs, larger))
    torch.testing.assert_close(vectors.items, same.items)
    raw, scaled = (biased(data, unit_features=False).embed() for data in (inputs, larger))
    assert not torch.allclose(raw.items, scaled.items)

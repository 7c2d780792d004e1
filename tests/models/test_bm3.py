from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn.functional import cosine_similarity, normalize

from models import BM3
from models.baselines.bm3 import BM3Params
from models.inputs import Batch, Inputs


def make(inputs: Inputs, **params: float) -> BM3:
    chosen = replace(BM3Params(embedding_dim=8), **params)  # type: ignore[arg-type]  # by name
    return BM3(inputs, chosen, torch.Generator().manual_seed(0))


def latent(model: BM3, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """h of users and items by dense matrices: one layer of LightGCN, the item's ID added."""
    tables = torch.cat([model.encoder.users, model.encoder.items])
    size = len(tables)
    adjacency = torch.zeros(size, size)
    users, items = inputs.edge_index[0], inputs.edge_index[1] + inputs.num_users
    adjacency[users, items] = adjacency[items, users] = 1.0
    scale = adjacency.sum(1).clamp_min(1.0).rsqrt()
    mean = (tables + scale[:, None] * (adjacency @ (scale[:, None] * tables))) / 2
    return mean[: inputs.num_users], mean[inputs.num_users :] + model.encoder.items


def test_the_score_is_taken_after_the_predictor(inputs: Inputs) -> None:
    model = make(inputs)
    users, items = latent(model, inputs)
    vectors = model.embed()
    torch.testing.assert_close(vectors.users, users @ model.weight.T + model.bias)
    # Item 0 has no interactions and is told apart below.
    torch.testing.assert_close(vectors.items[1:], items[1:] @ model.weight.T + model.bias)


def test_without_dropout_the_terms_are_cosine_distances(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model, batch = make(inputs, dropout=0.0, content_weight=3.0), make_batch(inputs)
    users, items = (rows.detach() for rows in latent(model, inputs))
    h_u, h_i = users[batch.users], items[batch.positive_items]

    def distance(online: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        predicted = online @ model.weight.T + model.bias
        return 1 - cosine_similarity(predicted, target).mean()

    content = [p()[batch.positive_items] for p in model.projections.values()]
    terms = model.loss(batch)
    torch.testing.assert_close(terms["reconstruction"], distance(h_u, h_i) + distance(h_i, h_u))
    expected = 3.0 * torch.stack([distance(e, h_i) for e in content]).sum()
    torch.testing.assert_close(terms["alignment"], expected)
    expected = 3.0 * torch.stack([distance(e, e) for e in content]).sum()
    torch.testing.assert_close(terms["masking"], expected)


def test_the_predictor_starts_with_a_bias(inputs: Inputs) -> None:
    model = make(inputs)
    bias = model.bias.detach().abs()
    assert bool((bias > 0).all())
    assert float(bias.max()) <= 8**-0.5


def test_features_are_trained_unless_told_otherwise(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    batch = make_batch(inputs)
    model, frozen = make(inputs), make(inputs, train_features=False)
    torch.testing.assert_close(model.embed().items, frozen.embed().items)
    model.loss(batch)["alignment"].backward()
    rows = dict(model.named_parameters())["projections.of_text.features"]
    assert rows.grad is not None
    touched = rows.grad.any(dim=1).nonzero().flatten()
    assert touched.tolist() == sorted(set(batch.positive_items.tolist()))
    assert not any("features" in name for name, _ in frozen.named_parameters())


def test_no_gradient_reaches_the_target_side(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, reg_weight=0.0)
    # The target of alignment is h_i, its online side is content: no ID may move.
    model.loss(make_batch(inputs))["alignment"].backward()
    assert model.encoder.items.grad is None or not bool(model.encoder.items.grad.any())
    assert bool(model.projections["of_text"].weight.grad.any())


def test_negatives_are_not_looked_at(inputs: Inputs, make_batch: Callable[..., Batch]) -> None:
    model, batch = make(inputs), make_batch(inputs)
    other = replace(make_batch(inputs), negative_items=1 + (batch.negative_items + 5) % 20)
    assert model.loss(batch) == model.loss(other)


def test_dropout_is_drawn_from_the_generator_of_the_batch(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model, batch = make(inputs), make_batch(inputs)
    other = replace(make_batch(inputs), generator=torch.Generator().manual_seed(9))
    assert model.loss(batch)["reconstruction"] != model.loss(other)["reconstruction"]


def test_an_item_without_interactions_points_where_its_content_does(inputs: Inputs) -> None:
    model = make(inputs)
    _, items = latent(model, inputs)
    direction = torch.stack([normalize(p(), dim=-1)[0] for p in model.projections.values()])
    stand_in = normalize(direction.mean(0), dim=-1) * items[1:].norm(dim=-1).mean()
    expected = model.weight @ stand_in + model.bias
    torch.testing.assert_close(model.embed().items[0], expected)

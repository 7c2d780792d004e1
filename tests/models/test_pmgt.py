from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, gelu, layer_norm

from models import PMGT
from models.baselines.pmgt import PMGTParams
from models.inputs import Batch, Categories, Inputs

DIM = 8


def make(inputs: Inputs, **params: float) -> PMGT:
    chosen = replace(PMGTParams(embedding_dim=DIM), **params)  # type: ignore[arg-type]  # by name
    return PMGT(inputs, chosen, torch.Generator().manual_seed(0)).eval()


def nodes(model: PMGT) -> Tensor:
    """The modalities of every item, mixed by the attention over them all."""
    image, text = (model.projections[name]() for name in ("of_image", "of_text"))
    joined = torch.tanh(torch.cat([image, text], -1))
    weights = (joined @ model.mixing.T + model.mixing_bias).softmax(-1)
    return weights[:, :1] * image + weights[:, 1:] * text


def one_item(model: PMGT, item: int) -> Tensor:
    """One item's vector by the equations, absent places left out instead of masked."""
    context = model.context_nodes[item][model.context_present[item]]
    chosen = torch.cat([torch.tensor([item]), context])
    role = torch.cat([model.roles[:1], model.roles[1:].expand(len(context), -1)])
    tokens = nodes(model)[chosen] + model.positions[: len(chosen)] + role
    hidden = layer_norm(tokens, (DIM,))
    for layer in model.layers:
        relevance = (hidden @ layer.query.T) @ (hidden @ layer.key.T).T / DIM**0.5
        contrast = hidden @ layer.contrast.T
        cosine = cosine_similarity(contrast[:, None], contrast[None], dim=-1)
        difference = 1 - cosine + torch.eye(len(chosen))
        beta = layer.diversity
        attention = beta * difference.softmax(-1) + (1 - beta) * relevance.softmax(-1)
        mixed = attention @ (hidden @ layer.value.T) @ layer.output.T
        hidden = layer_norm(hidden + mixed, (DIM,))
        wide = gelu(hidden @ layer.widen.T + layer.widen_bias)
        hidden = layer_norm(hidden + wide @ layer.narrow.T + layer.narrow_bias, (DIM,))
    return hidden[0]


@pytest.mark.parametrize("num_layers", [1, 2])
def test_an_item_is_read_together_with_its_context(inputs: Inputs, num_layers: int) -> None:
    model = make(inputs, num_layers=num_layers)
    items = model.embed().items
    expected = one_item(model, 3) @ model.transform.T / DIM**0.5 + model.offsets[3]
    torch.testing.assert_close(items[3], expected)
    # Item 0 has no user, so no context: it stands alone and its offset is zero.
    torch.testing.assert_close(items[0], one_item(model, 0) @ model.transform.T / DIM**0.5)


def test_without_fine_tuning_items_have_no_free_offset(inputs: Inputs) -> None:
    model = make(inputs, fine_tune=False)
    expected = one_item(model, 3) @ model.transform.T / DIM**0.5
    torch.testing.assert_close(model.embed().items[3], expected)
    assert "offsets" not in dict(model.named_parameters())


def test_the_graph_term_tells_neighbours_from_random_items(inputs: Inputs) -> None:
    model, targets = make(inputs), torch.tensor([0, 3, 5])
    near = model.sampler.draw_neighbours(targets, torch.Generator().manual_seed(4))
    generator = torch.Generator().manual_seed(4)
    model.sampler.draw_neighbours(targets, generator)
    far = torch.randint(inputs.num_items, (3,), generator=generator)
    h = torch.stack([one_item(model, item) for item in range(inputs.num_items)])
    attracted = -torch.log(torch.sigmoid((h[targets] * h[near]).sum(-1)))
    attracted[0] = 0.0  # item 0 has no neighbour
    repelled = -torch.log(torch.sigmoid(-(h[targets] * h[far]).sum(-1)))
    term = model._graph(nodes(model), targets, torch.Generator().manual_seed(4))
    torch.testing.assert_close(term, (attracted + repelled).mean())


def test_hidden_features_are_reconstructed_from_what_surrounds_them(inputs: Inputs) -> None:
    model, targets = make(inputs, mask_share=1.0), torch.tensor([3, 5])
    term = model._features(nodes(model), targets, torch.Generator().manual_seed(0))
    other = make(inputs, mask_share=1.0)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for decoder in other.decoders.values():
            decoder.weight.zero_()
    # Without weights every feature is guessed to be 0: the error is the mean square.
    guessed = other._features(nodes(other), targets, torch.Generator().manual_seed(0))
    seen = model.context_nodes[targets][model.context_present[targets]]
    expected = sum(inputs.features[m][seen].square().mean(-1).mean() for m in model.modalities)
    torch.testing.assert_close(guessed, torch.as_tensor(expected))
    assert term != guessed
    # All contexts are hidden: their own features must not be looked at.
    changed = nodes(model).clone()
    changed[[i for i in range(inputs.num_items) if i not in (3, 5)]] = 7.0
    blind = model._features(changed, targets, torch.Generator().manual_seed(0))
    torch.testing.assert_close(blind, term)


def test_nothing_hidden_costs_nothing(inputs: Inputs) -> None:
    model = make(inputs, mask_share=0.0)
    term = model._features(nodes(model), torch.tensor([3]), torch.Generator().manual_seed(0))
    assert float(term.detach()) == 0.0


def test_a_category_is_reconstructed_by_cross_entropy(inputs: Inputs) -> None:
    codes = torch.arange(inputs.num_items) % 3
    columns = {"colour": Categories(codes, 3)}
    model = make(replace(inputs, features={}, neighbours={}, categories=columns))
    decoder = model.decoders["of_colour"]
    outputs, items = torch.randn(4, DIM), torch.tensor([1, 5, 5, 7])
    expected = cross_entropy(outputs @ decoder.weight.T, codes[items], reduction="sum")
    torch.testing.assert_close(decoder(outputs, items), expected)


def test_training_draws_contexts_and_evaluation_does_not(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, context_size=2)
    before = model.embed().items
    fixed = model.loss(make_batch(inputs))["bpr"]
    model.refresh(0, torch.Generator().manual_seed(0))
    assert torch.equal(model.embed().items, before)
    assert model.train().loss(make_batch(inputs))["bpr"] != fixed


def test_the_loss_scores_as_evaluation_does(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model, batch = make(inputs), make_batch(inputs)
    vectors = model.embed()
    users = vectors.users[batch.users]
    positive = (users * vectors.items[batch.positive_items]).sum(-1)
    negative = (users * vectors.items[batch.negative_items[:, 0]]).sum(-1)
    expected = -torch.log(torch.sigmoid(positive - negative)).mean()
    torch.testing.assert_close(model.loss(batch)["bpr"], expected)

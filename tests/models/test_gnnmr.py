from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from tiny_inputs import unreached
from torch import Tensor
from torch.nn.functional import kl_div, leaky_relu

from models import GNNMR
from models.gnnmr import GNNMRParams, mutual
from models.inputs import Batch, Categories, Inputs
from models.item_graph import item_graph

SMALL = GNNMRParams(embedding_dim=8)


def make(inputs: Inputs, params: GNNMRParams = SMALL) -> GNNMR:
    return GNNMR(inputs, params, torch.Generator().manual_seed(0)).eval()


VARIANTS = {
    "lightgcn": replace(SMALL, encoder="lightgcn"),
    "no mutual learning": replace(SMALL, mutual_weight=0.0),
    "average": replace(SMALL, ensemble="ave"),
    "no item IDs": replace(SMALL, item_ids="none"),
    "a network of item IDs": replace(SMALL, item_ids="network"),
    "last layer": replace(SMALL, layer_sum="last"),
    "no self-loops": replace(SMALL, self_loops=False),
    "last activation": replace(SMALL, last_activation=True),
    "scaled messages": replace(SMALL, scaled=True),
    "edge dropout": replace(SMALL, edge_share=0.5),
    "item graphs": replace(SMALL, item_layers=1),
    "item graphs and IDs": replace(SMALL, item_layers=2, item_ids="network"),
    "faithful": replace(SMALL, faithful=True),
    "weights of validation": replace(SMALL, ensemble_weights="validation"),
}


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


def test_with_one_negative_mutual_learning_compares_two_bernoulli_variables() -> None:
    gaps = torch.tensor([[[1.0]], [[-0.5]]])  # two networks, one user
    first, second = torch.sigmoid(gaps[:, 0, 0])

    def divergence(q: Tensor, p: Tensor) -> Tensor:
        return q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()

    expected = divergence(second, first) + divergence(first, second)
    torch.testing.assert_close(mutual(gaps, 1.0), expected)


def test_the_teacher_is_the_mean_score_of_all_other_networks() -> None:
    scores = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    gaps = scores[..., :1] - scores[..., 1:]
    total = torch.zeros(())
    for network in range(3):
        others = torch.stack([scores[other] for other in range(3) if other != network]).mean(0)
        student = (scores[network] / 2.0).log_softmax(-1)
        teacher = (others / 2.0).softmax(-1)
        total = total + kl_div(student, teacher, reduction="batchmean") * 4.0
    torch.testing.assert_close(mutual(gaps, 2.0), total)


def test_no_gradient_flows_through_the_teacher() -> None:
    gaps = torch.tensor([[[1.0]], [[-0.5]]], requires_grad=True)
    (gradient,) = torch.autograd.grad(mutual(gaps, 1.0), gaps)
    first, second = torch.sigmoid(gaps.detach()[:, 0, 0])
    expected = torch.stack([first - second, second - first])
    torch.testing.assert_close(gradient[:, 0, 0], expected)


def test_one_network_has_no_teacher(
    make_inputs: Callable[..., Inputs], make_batch: Callable[..., Batch]
) -> None:
    inputs = make_inputs({"text": 8})
    assert float(make(inputs).loss(make_batch(inputs))["mutual"].detach()) == 0.0


def test_the_networks_have_nothing_in_common(inputs: Inputs) -> None:
    model = make(inputs)
    assert model.param_groups()["shared"] == []
    image, _ = model.components()
    of_text = model.param_groups()["text"]
    total = image.users.sum() + image.items.sum()
    gradients = torch.autograd.grad(total, of_text, materialize_grads=True)
    assert not any(bool(gradient.any()) for gradient in gradients)


def test_bpr_is_the_sum_over_networks_and_lambda_weighs_the_rest(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    batch = make_batch(inputs)
    batch = replace(batch, negative_items=torch.cat([batch.negative_items] * 3, 1).sort(0).values)
    model = make(inputs, replace(SMALL, mutual_weight=0.3))
    gaps = torch.stack(
        [
            (part.users[batch.users, None] * part.items[batch.positive_items, None]).sum(-1)
            - (part.users[batch.users, None] * part.items[batch.negative_items]).sum(-1)
            for part in model.components()
        ]
    )
    terms = model.loss(batch)
    torch.testing.assert_close(terms["bpr"], -gaps.sigmoid().log().mean((1, 2)).sum())
    torch.testing.assert_close(terms["mutual"], 0.3 * mutual(gaps, 1.0))


def test_regularised_are_the_rows_of_layer_zero(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    batch = make_batch(inputs, size=4)
    model = make(inputs, replace(SMALL, reg_weight=0.1))
    total = torch.zeros(())
    for name in ("of_image", "of_text"):
        items = model.projections[name]() + model.items[name]
        chosen = torch.cat([batch.positive_items, batch.negative_items[:, 0]])
        total = total + model.users[name][batch.users].square().sum()
        total = total + items[chosen].square().sum()
    torch.testing.assert_close(model.loss(batch)["reg"], 0.1 * total / (2 * 4))


def test_the_average_is_taken_over_networks_whose_users_start_alike(inputs: Inputs) -> None:
    concat, average = make(inputs), make(inputs, replace(SMALL, ensemble="ave"))
    assert torch.equal(average.users["of_image"], average.users["of_text"])
    assert not torch.equal(concat.users["of_image"], concat.users["of_text"])
    average.load_state_dict(concat.state_dict())
    first, second = concat.components()
    torch.testing.assert_close(average.embed().users, (first.users + second.users) / 2)
    torch.testing.assert_close(average.embed().items, (first.items + second.items) / 2)


def test_weights_multiply_the_scores_of_the_networks(inputs: Inputs) -> None:
    params = replace(SMALL, ensemble_weights="validation")
    plain, model = make(inputs), make(inputs, params)
    torch.testing.assert_close(model.embed().users, plain.embed().users)
    weights = model.component_weights()
    assert weights is not None
    weights.copy_(torch.tensor([0.0, 0.25]))
    image, text = model.components()
    assert not bool(image.users.any() or image.items.any())
    before = plain.components()[1]
    torch.testing.assert_close(text.users @ text.items.T, 0.25 * before.users @ before.items.T)
    # Neither side has all of the weight: items are as much alike as the scores see them.
    torch.testing.assert_close(text.items, 0.5 * before.items)


def test_a_network_alone_has_no_weight_to_choose(make_inputs: Callable[..., Inputs]) -> None:
    params = replace(SMALL, ensemble_weights="validation")
    assert make(make_inputs({"text": 8}), params).component_weights() is None


@pytest.mark.parametrize("variant", ["item graphs", "item graphs and IDs", "last activation"])
def test_masking_a_modality_changes_its_own_network_only(variant: str, inputs: Inputs) -> None:
    model = make(inputs, VARIANTS[variant])
    owners = model.component_owners()
    pairs = zip(model.components(), model.components(frozenset({"text"})), strict=True)
    changed = [not torch.equal(whole.items, masked.items) for whole, masked in pairs]
    assert owners is not None
    assert changed == [owner == "image" for owner in owners]
    assert make(inputs, VARIANTS["average"]).component_owners() is None


@pytest.mark.parametrize("variant", ["item graphs and IDs", "lightgcn", "last activation"])
def test_a_modality_kept_alone_scores_as_its_own_network_does(variant: str, inputs: Inputs) -> None:
    model = make(inputs, VARIANTS[variant])
    image, _, *ids = model.components()
    own = sum(part.users @ part.items.T for part in (image, *ids))
    kept = model.embed(frozenset({"image"}))
    # Not even the number of an item's users comes in from the network of the texts.
    torch.testing.assert_close(kept.users @ kept.items.T, own)


def test_a_network_of_item_ids_is_one_more_part(inputs: Inputs) -> None:
    model = make(inputs, VARIANTS["a network of item IDs"])
    assert len(model.components()) == 3
    assert model.component_owners() == ("image", "text", None)
    assert set(model.param_groups()) == {"shared", "image", "text"}


def test_item_offsets_start_at_the_features_alone(inputs: Inputs) -> None:
    with_offset, without = make(inputs), make(inputs, VARIANTS["no item IDs"])
    without.load_state_dict(with_offset.state_dict(), strict=False)
    torch.testing.assert_close(with_offset.embed().items, without.embed().items)
    with_offset.items["of_image"].data.add_(1.0)
    assert not torch.allclose(with_offset.embed().items, without.embed().items)


def test_unit_features_do_not_depend_on_their_scale(inputs: Inputs) -> None:
    larger = replace(inputs, features={m: 10.0 * x for m, x in inputs.features.items()})
    params = replace(SMALL, unit_features=True)
    torch.testing.assert_close(
        make(inputs, params).embed().items, make(larger, params).embed().items
    )
    assert not torch.allclose(make(inputs).embed().items, make(larger).embed().items)


def test_item_graphs_add_the_propagated_layer_zero(inputs: Inputs) -> None:
    params = replace(SMALL, item_layers=2, k=5)
    model, plain = make(inputs, params), make(inputs, replace(params, item_layers=0))
    plain.load_state_dict(model.state_dict())
    graph = item_graph(inputs, "text", 5)
    added = graph(graph(model.projections["of_text"]()))
    with_graph, without = model.components()[1], plain.components()[1]
    torch.testing.assert_close(with_graph.items, without.items + added)
    torch.testing.assert_close(with_graph.users, without.users)


def attention_by_hand(model: GNNMR, name: str, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Eq. 3-5 to the letter, with dense attention; the layers' last vectors."""
    has = torch.zeros(inputs.num_users, inputs.num_items, dtype=torch.bool)
    has[inputs.edge_index[0], inputs.edge_index[1]] = True
    users, items = model.users[name], model.projections[name]()
    for layer in model.networks.layers[name]:
        u, i = users @ layer.weight.T, items @ layer.weight.T
        of_users = leaky_relu((u @ layer.ends[0])[:, None] + i @ layer.ends[1], 0.2)
        of_items = leaky_relu((i @ layer.ends[0])[:, None] + u @ layer.ends[1], 0.2)
        to_users = of_users.masked_fill(~has, -torch.inf).softmax(1).nan_to_num(0.0)
        to_items = of_items.masked_fill(~has.T, -torch.inf).softmax(1).nan_to_num(0.0)
        users, items = leaky_relu(to_users @ i, 0.2), leaky_relu(to_items @ u, 0.2)
    return users, items


def test_faithful_is_the_paper_to_the_letter(inputs: Inputs) -> None:
    model = make(inputs, replace(SMALL, faithful=True, item_layers=1))
    users, items = attention_by_hand(model, "of_image", inputs)
    part = model.components()[0]
    torch.testing.assert_close(part.users, users)
    torch.testing.assert_close(part.items, items)


def test_without_self_loops_two_layers_carry_no_feature_to_a_user(inputs: Inputs) -> None:
    changed = replace(inputs, features={m: x.flip(0) for m, x in inputs.features.items()})

    def users_of(given: Inputs, params: GNNMRParams) -> Tensor:
        model = make(given, params)
        for name, parameter in model.named_parameters():
            # Even attention, so that features could only arrive as messages.
            parameter.data.mul_(0.0 if name.endswith("ends") else 1.0)
        return model.embed().users

    faithful = replace(SMALL, faithful=True)
    torch.testing.assert_close(users_of(inputs, faithful), users_of(changed, faithful))
    assert not torch.allclose(users_of(inputs, SMALL), users_of(changed, SMALL))


def test_dozens_of_modalities_of_both_kinds_are_fine(
    make_inputs: Callable[..., Inputs], make_batch: Callable[..., Batch]
) -> None:
    inputs = make_inputs({f"dense{number}": 3 for number in range(12)})
    codes = torch.arange(inputs.num_items) % 5
    columns = {f"column{number}": Categories(codes.roll(number), 5) for number in range(12)}
    model = make(replace(inputs, categories=columns))
    assert len(model.components()) == 24
    assert all(bool(term.isfinite()) for term in model.loss(make_batch(inputs)).values())

"""What every registered model must satisfy (design.md 2)."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest
import torch
from model_kinds import multimodal_names
from tiny_inputs import random_inputs, unreached

from models.inputs import Batch, Categories, Inputs
from models.item_graph import category_knn, knn
from models.recommender import Recommender
from training.registry import build_model, model_names, parse_params

# Small enough for every case here; what is not listed only gets narrow vectors.
SMALL: dict[str, dict[str, object]] = {
    "itemcf": {"rank": 8},
    "ease": {"rank": 8, "reg_weight": 2.0},
    # On so few users and items the contrast of hyperedges cannot fall; it would hide the rest.
    "lgmrec": {"embedding_dim": 16, "contrast_weight": 1e-3},
    "mgnm": {"embedding_dim": 16, "contrast_weight": 1e-3},
    "popularity": {},
    # Users of one colour have nothing that tells them apart, so the contrast cannot fall.
    "sgl": {"embedding_dim": 16, "contrast_weight": 1e-3},
}


def make(name: str, inputs: Inputs, seed: int = 0) -> Recommender:
    return build_model(name, parse_params(name, small(name)), inputs, seed)


def small(name: str) -> dict[str, object]:
    return SMALL.get(name, {"embedding_dim": 16})


def is_trained(name: str) -> bool:
    """Models that are solved or counted have nothing for the optimizer to move."""
    return bool(list(make(name, random_inputs()).parameters()))


NAMES = model_names()
TRAINED = [name for name in NAMES if is_trained(name)]
PERSONAL = [name for name in NAMES if name != "popularity"]
MULTIMODAL = multimodal_names()
EDGE_DROPPING = [
    name
    for name in NAMES
    if "edge_share" in {f.name for f in fields(parse_params(name, small(name)))}
]


def test_the_kinds_of_models_are_told_apart() -> None:
    assert {"bpr", "lightgcn", "micro"} <= set(TRAINED)
    assert not {"popularity", "itemcf", "ease"} & set(TRAINED)
    assert "micro" in MULTIMODAL
    assert not {"popularity", "itemcf", "ease", "bpr", "lightgcn"} & set(MULTIMODAL)


@pytest.mark.parametrize("name", NAMES)
def test_vectors_have_a_row_per_user_and_item_one_width_and_are_finite(
    name: str, inputs: Inputs
) -> None:
    vectors = make(name, inputs).eval().embed()
    assert vectors.users.shape == (inputs.num_users, vectors.items.shape[1])
    assert vectors.items.shape[0] == inputs.num_items
    assert vectors.users.dtype == vectors.items.dtype == torch.float32
    assert bool(vectors.users.isfinite().all())
    assert bool(vectors.items.isfinite().all())


@pytest.mark.parametrize("name", NAMES)
def test_embedding_twice_in_evaluation_mode_gives_the_same(name: str, inputs: Inputs) -> None:
    model = make(name, inputs).eval()
    first, second = model.embed(), model.embed()
    assert torch.equal(first.users, second.users)
    assert torch.equal(first.items, second.items)


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_models(name: str, inputs: Inputs) -> None:
    first, second = make(name, inputs, 5).embed(), make(name, inputs, 5).embed()
    assert torch.equal(first.items, second.items)


@pytest.mark.parametrize("name", TRAINED)
def test_equal_seeds_give_equal_losses(
    name: str, inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(name, inputs).train()
    assert model.loss(make_batch(inputs, 3)) == model.loss(make_batch(inputs, 3))


@pytest.mark.parametrize("name", TRAINED)
def test_other_seeds_give_other_models(name: str, inputs: Inputs) -> None:
    assert not torch.equal(make(name, inputs, 1).embed().items, make(name, inputs, 2).embed().items)


@pytest.mark.parametrize("name", TRAINED)
def test_the_gradient_reaches_every_parameter(
    name: str, inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(name, inputs)
    model.refresh(0, torch.Generator().manual_seed(0))
    assert unreached(model, make_batch(inputs)) == []


@pytest.mark.parametrize("name", EDGE_DROPPING)
def test_interactions_are_dropped_in_training_only(name: str, inputs: Inputs) -> None:
    params = parse_params(name, {**small(name), "edge_share": 0.2})
    model = build_model(name, params, inputs, 0)
    before = model.eval().embed().users
    model.refresh(0, torch.Generator().manual_seed(0))
    assert torch.equal(model.eval().embed().users, before)
    assert not torch.equal(model.train().embed().users, before)


@pytest.mark.parametrize("name", TRAINED)
def test_parameter_groups_hold_every_parameter_once(name: str, inputs: Inputs) -> None:
    model = make(name, inputs)
    grouped = [parameter for group in model.param_groups().values() for parameter in group]
    assert sorted(map(id, grouped)) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize("name", TRAINED)
def test_the_loss_falls(name: str, board: Inputs, teach: Callable[..., list[float]]) -> None:
    losses = teach(make(name, board), board, 20)
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


@pytest.mark.parametrize("name", PERSONAL)
def test_the_withheld_item_of_the_checkerboard_ranks_first(
    name: str, board: Inputs, teach: Callable[..., list[float]]
) -> None:
    model = make(name, board)
    if name in TRAINED:
        teach(model, board, 150)
    scores = model.scorer()(torch.arange(board.num_users))
    scores[board.edge_index[0], board.edge_index[1]] = -torch.inf
    # The item of the diagonal is the only one of the user's own colour that is left.
    assert torch.equal(scores.argmax(-1), torch.arange(board.num_users))


@pytest.mark.parametrize("name", TRAINED)
def test_the_scorer_multiplies_the_vectors(name: str, inputs: Inputs) -> None:
    model = make(name, inputs).eval()
    vectors = model.embed()
    rows = torch.tensor([3, 0, 17])
    torch.testing.assert_close(model.scorer()(rows), vectors.users[rows] @ vectors.items.T)


@pytest.mark.parametrize("name", NAMES)
def test_the_components_add_up_to_the_score(name: str, inputs: Inputs) -> None:
    model = make(name, inputs).eval()
    vectors = model.embed()
    parts = torch.stack([part.users @ part.items.T for part in model.components()]).sum(0)
    torch.testing.assert_close(parts, vectors.users @ vectors.items.T)


@pytest.mark.parametrize("name", TRAINED)
def test_the_state_survives_a_round_trip(name: str, inputs: Inputs) -> None:
    model, other = make(name, inputs, 1).eval(), make(name, inputs, 2).eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.embed().users, other.embed().users)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_stays_behind_when_the_model_moves(name: str, inputs: Inputs) -> None:
    model = make(name, inputs).to(torch.device("meta"))
    tensors = [*model.named_parameters(), *model.named_buffers()]
    assert [tensor_name for tensor_name, tensor in tensors if not tensor.is_meta] == []


@pytest.mark.parametrize("name", MULTIMODAL)
def test_an_ablated_modality_no_longer_matters(name: str, inputs: Inputs) -> None:
    model = make(name, inputs).eval()
    shuffled = inputs.features["image"].flip(0)
    changed = Inputs(
        inputs.num_users,
        inputs.num_items,
        inputs.edge_index,
        {**inputs.features, "image": shuffled},
        {"text": inputs.neighbours["text"]},
    )
    other = make(name, changed).eval()
    keep = frozenset({"text"})
    torch.testing.assert_close(model.embed(keep).items, other.embed(keep).items)
    assert not torch.equal(model.embed().items, other.embed().items)


@pytest.mark.parametrize("name", MULTIMODAL)
def test_parameters_of_a_modality_can_be_told_from_the_rest(name: str, inputs: Inputs) -> None:
    model = make(name, inputs)
    assert set(model.param_groups()) <= {"shared", *model.modalities}


@pytest.mark.parametrize("name", MULTIMODAL)
def test_with_every_modality_ablated_content_does_not_matter(name: str, inputs: Inputs) -> None:
    other = replace(
        inputs,
        features={m: x.flip(0) for m, x in inputs.features.items()},
        neighbours={m: knn(x.flip(0), 5) for m, x in inputs.features.items()},
    )
    nothing: frozenset[str] = frozenset()
    first = make(name, inputs).eval().embed(nothing)
    second = make(name, other).eval().embed(nothing)
    torch.testing.assert_close(first.users @ first.items.T, second.users @ second.items.T)


@pytest.mark.parametrize("name", MULTIMODAL)
def test_an_item_without_interactions_gets_its_vector_from_content(
    name: str, inputs: Inputs
) -> None:
    # Item 0 has no pair; with other content it must get another vector.
    assert not bool((inputs.edge_index[1] == 0).any())
    features = {m: x.clone() for m, x in inputs.features.items()}
    for matrix in features.values():
        matrix[0] = matrix[5]
    changed = replace(
        inputs, features=features, neighbours={m: knn(x, 5) for m, x in features.items()}
    )
    first, second = make(name, inputs).eval().embed(), make(name, changed).eval().embed()
    assert not torch.allclose(first.items[0], second.items[0])
    assert bool(first.items[0].any())


@pytest.mark.parametrize("name", MULTIMODAL)
def test_categories_are_a_modality_like_any_other(
    name: str, inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    codes = torch.arange(inputs.num_items) % 3
    columns = {"colour": Categories(codes, 3), "type": Categories(codes.flip(0), 4)}
    with_columns = replace(
        inputs,
        neighbours={**inputs.neighbours, **{m: category_knn(columns, m, 5) for m in columns}},
        categories=columns,
    )
    model = make(name, with_columns).train()
    total = torch.stack(list(model.loss(make_batch(inputs)).values())).sum()
    total.backward()
    assert bool(total.isfinite())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", MULTIMODAL)
def test_one_modality_is_enough(name: str, make_inputs: Callable[..., Inputs]) -> None:
    vectors = make(name, make_inputs({"text": 8})).embed()
    assert bool(vectors.items.isfinite().all())


@pytest.mark.parametrize("name", MULTIMODAL)
def test_three_modalities_are_not_too_many(
    name: str, make_inputs: Callable[..., Inputs], make_batch: Callable[..., Batch]
) -> None:
    inputs = make_inputs({"audio": 5, "image": 12, "text": 8})
    terms = make(name, inputs).train().loss(make_batch(inputs))
    assert all(bool(term.isfinite()) for term in terms.values())

import math
from dataclasses import replace

import pytest
import torch
from additive import Additive

from models.inputs import Batch, Embeddings
from training.strategies import CKD
from training.strategies.ckd import CKDParams, modality_weights
from training.strategies.strategy import KnownPairs

# Teachers' margins on the two triples: image 5, 5 and text 4, 16.
TEACHERS = {"image": [5.0, 0.0, 5.0], "text": [4.0, 0.0, 16.0]}
PURE = CKDParams(distill_weight=1.0, generic_weight=0.0)


def teacher(modality: str, factor: float = 1.0) -> Embeddings:
    return Embeddings(torch.full((2, 1), factor), torch.tensor(TEACHERS[modality])[:, None])


def student(model: Additive, params: CKDParams, pairs: KnownPairs, factor: float = 1.0) -> CKD:
    strategy = CKD(model, params, pairs)
    strategy.prepare(lambda modality, *_: teacher(modality, factor))
    return strategy


def specific(model: Additive, params: CKDParams, pairs: KnownPairs, triples: Batch) -> float:
    return float(student(model, params, pairs).loss(triples)["ckd_specific"].detach())


def cross_entropy(student_margin: float, teacher_margin: float) -> float:
    p, q = (1 / (1 + math.exp(-margin)) for margin in (teacher_margin, student_margin))
    return -p * math.log(q) - (1 - p) * math.log(1 - q)


def test_the_student_is_to_exceed_each_teacher_on_training_triples(
    model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    # Eq. 11: image 5 - 2 = 3 and 5 - 6 < 0, mean 1.5; text 4 - 3 = 1 and 16 - 6 = 10, mean 5.5.
    params = replace(PURE, reweighting="none")
    assert specific(model, params, pairs, triples) == pytest.approx(1.5 + 5.5)


def test_a_modality_that_reaches_less_of_its_teacher_weighs_more(
    model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    # Eq. 15-17: image adds 1 and 2, mean 1.5, of its teacher's 5: 0.3; text 2 of 10: 0.2.
    # Eq. 18: image 1 - 0.3 / 0.5, text 1 - 0.2 / 0.5, times 2 so that they sum to 2.
    expected = 0.8 * 1.5 + 1.2 * 5.5
    assert specific(model, PURE, pairs, triples) == pytest.approx(expected)


def test_weights_per_triple_compare_with_the_student(
    model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    # First triple: image 1/2, text 2/3, so 8/7 and 6/7; second: both 2/6, so 1 and 1.
    expected = (8 / 7 * 3 + 0) / 2 + (6 / 7 * 1 + 10) / 2
    params = replace(PURE, reweighting="triple")
    assert specific(model, params, pairs, triples) == pytest.approx(expected)


def test_equal_items_do_not_break_the_weights_per_triple(
    model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    equal = replace(triples, negative_items=triples.positive_items[:, None])
    params = replace(PURE, reweighting="triple")
    assert specific(model, params, pairs, equal) == 0.0


def test_squared_errors_replace_the_hinge(
    model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    params = replace(PURE, reweighting="none", specific="mse")
    assert specific(model, params, pairs, triples) == pytest.approx((9 + 1) / 2 + (1 + 100) / 2)


def test_divergence_replaces_the_hinge(model: Additive, pairs: KnownPairs, triples: Batch) -> None:
    params = replace(PURE, reweighting="none", specific="kl", temperature=4.0)
    image = (cross_entropy(2 / 4, 5 / 4) + cross_entropy(6 / 4, 5 / 4)) / 2
    text = (cross_entropy(3 / 4, 4 / 4) + cross_entropy(6 / 4, 16 / 4)) / 2
    assert specific(model, params, pairs, triples) == pytest.approx(image + text)


@pytest.mark.parametrize(
    ("params", "terms"),
    [
        (CKDParams(), {"bpr", "ckd_specific", "ckd_generic"}),
        (CKDParams(specific="none"), {"bpr", "ckd_generic"}),
        (CKDParams(generic_weight=0.0), {"bpr", "ckd_specific"}),
    ],
)
def test_either_distillation_can_be_left_out(
    params: CKDParams, terms: set[str], model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    assert set(student(model, params, pairs).loss(triples)) == terms


def test_the_terms_are_weighted_as_in_equations_14_and_19(
    model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    once = student(model, replace(PURE, generic_weight=1.0), pairs).loss(triples)
    triples.generator.manual_seed(0)
    params = replace(PURE, distill_weight=0.5, generic_weight=3.0)
    weighted = student(model, params, pairs).loss(triples)
    torch.testing.assert_close(weighted["bpr"], once["bpr"])
    torch.testing.assert_close(weighted["ckd_specific"], 0.5 * once["ckd_specific"])
    torch.testing.assert_close(weighted["ckd_generic"], 0.5 * 3.0 * once["ckd_generic"])


def test_random_triples_are_to_agree_with_the_teachers(
    model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    params = CKDParams(1.0, 1.0, temperature=2.0, specific="none", reweighting="none")
    found = student(model, params, pairs).loss(triples)["ckd_generic"]
    again = torch.Generator().manual_seed(0)
    users = torch.randperm(2, generator=again).tolist()
    first, second = torch.randint(3, (2, 2), generator=again).tolist()
    # The margin of user u with one modality kept, from the model's own columns.
    ids, image, text = ([1, 2], [1, 0, 2]), ([1, 1], [2, 1, 3]), ([2, 1], [2, 1, 3])
    expected = sum(
        cross_entropy(
            sum(part[0][u] * (part[1][j] - part[1][k]) for part in (ids, own)) / 2,
            (TEACHERS[modality][j] - TEACHERS[modality][k]) / 2,
        )
        for modality, own in (("image", image), ("text", text))
        for u, j, k in zip(users, first, second, strict=True)
    )
    assert float(found.detach()) == pytest.approx(expected / 2)


def test_no_user_has_two_random_triples_and_there_are_no_more_than_asked_for(
    model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    one = student(model, CKDParams(generic_triples=1), pairs)._generic_triples(triples)
    all_users = student(model, CKDParams(), pairs)._generic_triples(triples)
    assert len(one.users) == 1
    assert sorted(all_users.users.tolist()) == [0, 1]


def test_learning_speeds_are_averaged_over_batches(
    model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    strategy = student(model, replace(PURE, momentum=0.5), pairs)
    strategy.restore({"speeds": torch.tensor([1.0, 0.2])})
    strategy.loss(triples)
    torch.testing.assert_close(strategy.state()["speeds"], torch.tensor([0.65, 0.2]))


def test_weights_sum_to_the_number_of_modalities() -> None:
    weights = modality_weights(torch.tensor([0.1, 0.2, 0.7]))
    torch.testing.assert_close(weights, torch.tensor([0.9, 0.8, 0.3]) * 3 / 2)


def test_a_modality_that_harms_gets_the_whole_weight(
    model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    with torch.no_grad():
        model.own["of_image"][0].neg_()
    strategy = student(model, PURE, pairs)
    strategy.loss(triples)
    speeds = strategy.state()["speeds"]
    assert speeds[0] == pytest.approx(1e-8)
    torch.testing.assert_close(modality_weights(speeds), torch.tensor([2.0, 0.0]))


@pytest.mark.parametrize("standardise", [True, False])
def test_standardised_margins_have_no_unit(
    standardise: bool, pairs: KnownPairs, triples: Batch
) -> None:
    params = replace(PURE, standardise=standardise)
    plain = student(Additive(labelled=True), params, pairs).loss(triples)
    scaled = student(Additive(labelled=True, factor=10.0), params, pairs, 10.0).loss(triples)
    equal = torch.allclose(plain["ckd_specific"], scaled["ckd_specific"])
    assert equal == standardise


def test_only_the_student_learns(model: Additive, pairs: KnownPairs, triples: Batch) -> None:
    vectors = {m: teacher(m) for m in TEACHERS}
    for each in vectors.values():
        each.users.requires_grad_()
        each.items.requires_grad_()
    strategy = CKD(model, CKDParams(), pairs)
    strategy.prepare(lambda modality, *_: vectors[modality])
    torch.stack(list(strategy.loss(triples).values())).sum().backward()
    assert {id(each.users.grad) for each in vectors.values()} == {id(None)}
    assert {id(each.items.grad) for each in vectors.values()} == {id(None)}
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_modality_is_distilled_into_itself_and_the_ids(
    model: Additive, pairs: KnownPairs, triples: Batch
) -> None:
    # Only the image teacher is ahead, on the first triple: text has nothing to learn from it.
    params = replace(PURE, reweighting="none")
    strategy = CKD(model, params, pairs)
    low = Embeddings(torch.ones(2, 1), torch.tensor([-9.0, 0.0, -9.0])[:, None])
    strategy.prepare(lambda modality, *_: teacher("image") if modality == "image" else low)
    strategy.loss(triples)["ckd_specific"].backward()
    assert bool(model.own["of_image"][0].grad.any())
    assert bool(model.ids[0].grad.any())
    assert not bool(model.own["of_text"][0].grad.any())


@pytest.mark.parametrize(("labelled", "passes"), [(True, 3), (False, 4)])
def test_a_step_makes_one_pass_per_mask(
    labelled: bool, passes: int, pairs: KnownPairs, triples: Batch
) -> None:
    # One is the model's own loss; then image, text and all, or all and nothing.
    model = Additive(labelled=labelled)
    student(model, CKDParams(), pairs).loss(triples)
    assert model.passes.total() == passes

import pytest
import torch

from models.features import Projection, mean_ablated
from models.inputs import Categories, Inputs

NONE: frozenset[str] = frozenset()
EDGES = torch.tensor([[0, 1], [0, 1]])


def test_a_category_is_projected_as_its_one_hot() -> None:
    codes = torch.tensor([2, 0, 2])
    column = Inputs(2, 3, EDGES, categories={"colour": Categories(codes, 3)})
    dense = Inputs(2, 3, EDGES, {"colour": torch.eye(3)[codes]})
    as_column, as_vector = (
        Projection(inputs, "colour", 4, torch.Generator().manual_seed(1))
        for inputs in (column, dense)
    )
    torch.testing.assert_close(as_column(), as_vector())
    torch.testing.assert_close(as_column(NONE), as_vector(NONE))


@pytest.mark.parametrize("bias", [True, False])
def test_some_items_are_projected_as_among_all(bias: bool) -> None:
    columns = {"colour": Categories(torch.tensor([2, 0, 2]), 3)}
    inputs = Inputs(2, 3, EDGES, {"text": torch.randn(3, 6)}, categories=columns)
    items = torch.tensor([2, 1, 2])
    for modality in inputs.modalities:
        project = Projection(inputs, modality, 4, torch.Generator().manual_seed(1), bias=bias)
        torch.testing.assert_close(project.of(items), project()[items])


def test_an_ablated_modality_projects_to_the_mean_of_all_items() -> None:
    inputs = Inputs(2, 3, EDGES, {"text": torch.randn(3, 6)})
    project = Projection(inputs, "text", 4, torch.Generator().manual_seed(1))
    torch.testing.assert_close(project(NONE), project().mean(0).expand(3, 4))


def test_unit_features_have_norm_one_and_a_missing_one_stays_zero() -> None:
    inputs = Inputs(2, 3, EDGES, {"text": torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]])})
    project = Projection(inputs, "text", 4, torch.Generator(), bias=False, unit=True)
    unit = torch.tensor([[0.6, 0.8], [0.0, 0.0], [0.0, -1.0]])
    torch.testing.assert_close(project(), unit @ project.weight.T)


def test_mean_ablation_keeps_rows_of_kept_modalities() -> None:
    rows = torch.tensor([[1.0], [3.0]])
    assert mean_ablated(rows, "text", frozenset({"text"})) is rows
    assert mean_ablated(rows, "text", NONE).tolist() == [[2.0], [2.0]]


def test_inputs_can_be_reduced_to_some_modalities() -> None:
    columns = {"colour": Categories(torch.tensor([0, 1, 0]), 2)}
    inputs = Inputs(2, 3, EDGES, {"text": torch.eye(3)}, categories=columns)
    assert inputs.modalities == ("colour", "text")
    assert inputs.only({"colour"}).modalities == ("colour",)

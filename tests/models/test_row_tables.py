"""Tables of users and items are marked, so that a warm start can match their rows by id."""

import pytest
import torch
from tiny_inputs import random_inputs

from models.params import ItemRows, UserRows
from training.registry import build_model, model_names, parse_params

SMALL: dict[str, dict[str, object]] = {"popularity": {}, "itemcf": {"rank": 8}, "ease": {"rank": 8}}


@pytest.mark.parametrize("name", model_names())
def test_what_grows_with_the_users_or_the_items_is_marked(name: str) -> None:
    inputs = random_inputs()
    params = parse_params(name, SMALL.get(name, {"embedding_dim": 16}))
    model = build_model(name, params, inputs, 0)
    sizes = {inputs.num_users: UserRows, inputs.num_items: ItemRows}
    assert len(sizes) == 2
    for parameter_name, parameter in model.named_parameters():
        wanted = sizes.get(parameter.shape[0] if parameter.dim() else 0, torch.nn.Parameter)
        assert type(parameter) is wanted, parameter_name


def test_a_marked_table_is_a_parameter_like_any_other() -> None:
    table = UserRows(torch.ones(3, 2))
    layer = torch.nn.Module()
    layer.table = table
    assert list(layer.state_dict()) == ["table"]
    assert type(table * 2) is torch.Tensor

from collections.abc import Callable

import pytest
import torch

from models.baselines.a2cmhne import A2CMHNE, A2CMHNEParams
from models.inputs import Batch, Inputs


def make(inputs: Inputs, params: A2CMHNEParams | None = None) -> A2CMHNE:
    params = A2CMHNEParams(embedding_dim=8) if params is None else params
    return A2CMHNE(inputs, params, torch.Generator().manual_seed(0))


def attention(module: torch.nn.Module, vectors: list[torch.Tensor]) -> list[float]:
    """The softmax weights of one node's vectors."""
    logits = [module.query @ torch.tanh(module.mix.weight @ v + module.mix.bias) for v in vectors]
    return torch.stack(logits).softmax(0).tolist()


def content_of(model: A2CMHNE, inputs: Inputs, item: int) -> torch.Tensor:
    vectors = [
        torch.tanh(model.projections[f"of_{m}"].weight @ inputs.features[m][item])
        for m in ("image", "text")
    ]
    weights = attention(model.modality_attention, vectors)
    return weights[0] * vectors[0] + weights[1] * vectors[1]


def test_an_item_is_its_structure_and_its_content_by_their_attention(inputs: Inputs) -> None:
    model = make(inputs)
    content = content_of(model, inputs, 3)
    first, second = attention(model.part_attention, [model.items[3], content])
    expected = torch.cat([2 * first * model.items[3], 2 * second * content])
    torch.testing.assert_close(model.embed().items[3], expected)


def test_the_content_of_a_user_is_the_mean_of_their_items(inputs: Inputs) -> None:
    model = make(inputs)
    user = 5
    items = inputs.edge_index[1, inputs.edge_index[0] == user].tolist()
    content = torch.stack([content_of(model, inputs, item) for item in items]).mean(0)
    first, second = attention(model.part_attention, [model.users[user], content])
    expected = torch.cat([2 * first * model.users[user], 2 * second * content])
    torch.testing.assert_close(model.embed().users[user], expected)


def test_structure_and_content_are_the_two_parts_of_the_score(inputs: Inputs) -> None:
    model = make(inputs)
    vectors = model.embed()
    structure, content = model.components()
    assert torch.equal(vectors.items, torch.cat([structure.items, content.items], dim=-1))


def test_links_are_predicted_from_the_whole_and_from_each_part(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, A2CMHNEParams(embedding_dim=8, part_weight=0.3))
    batch = make_batch(inputs)
    contents = torch.stack([content_of(model, inputs, item) for item in range(inputs.num_items)])
    averages = model.interactions(contents)
    whole = model.embed()

    def ranking_loss(users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        scores = users @ items.T
        good = scores[batch.users, batch.positive_items]
        return -(good - scores[batch.users, batch.negative_items[:, 0]]).sigmoid().log().mean()

    terms = model.loss(batch)
    torch.testing.assert_close(terms["bpr"], ranking_loss(whole.users, whole.items))
    torch.testing.assert_close(terms["structure"], 0.3 * ranking_loss(model.users, model.items))
    torch.testing.assert_close(terms["content"], 0.3 * ranking_loss(averages, contents))


def test_structure_and_content_are_both_regularised(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, A2CMHNEParams(embedding_dim=8, reg_weight=0.5))
    batch = make_batch(inputs, size=4)
    contents = torch.stack([content_of(model, inputs, item) for item in range(inputs.num_items)])
    chosen = torch.cat([batch.positive_items, batch.negative_items[:, 0]])
    users = [model.users, model.interactions(contents)]
    rows = [table[batch.users] for table in users] + [model.items[chosen], contents[chosen]]
    expected = 0.5 * sum(part.detach().square().sum().item() for part in rows) / 8
    assert model.loss(batch)["reg"].item() == pytest.approx(expected, rel=1e-5)

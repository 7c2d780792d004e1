"""Every strategy on every multimodal model: they see it only through its contract."""

from collections.abc import Callable

import pytest
import torch
from test_conformance import MULTIMODAL, make

from models.inputs import Batch, Embeddings, Inputs
from training.data.pairs import Pairs
from training.registry import build_strategy, parse_strategy_params, strategy_names
from training.strategies.passes import Passes
from training.strategies.strategy import KnownPairs, Strategy


@pytest.fixture
def pairs(inputs: Inputs) -> KnownPairs:
    users, items = (rows.numpy() for rows in inputs.edge_index)
    return KnownPairs(Pairs.of(users, items), Pairs.of(users[:5], (items[:5] + 1) % 24))


def started(strategy: str, name: str, inputs: Inputs, pairs: KnownPairs) -> Strategy:
    model = make(name, inputs).train()
    model.refresh(0, torch.Generator().manual_seed(0))
    built = build_strategy(strategy, parse_strategy_params(strategy, {}), model, pairs)

    def teach(modality: str, *_: object) -> Embeddings:
        vectors = make(name, inputs.only((modality,)), seed=1).eval().embed()
        return Embeddings(vectors.users.detach(), vectors.items.detach())

    built.prepare(teach)
    built.start_epoch(0)
    return built


@pytest.mark.parametrize("name", MULTIMODAL)
@pytest.mark.parametrize("strategy", strategy_names())
def test_a_strategy_takes_a_step(
    strategy: str,
    name: str,
    inputs: Inputs,
    pairs: KnownPairs,
    make_batch: Callable[..., Batch],
) -> None:
    built = started(strategy, name, inputs, pairs)
    batch = make_batch(inputs)
    total = torch.stack(list(built.loss(batch).values())).sum()
    total.backward()
    built.after_backward(batch)
    built.end_epoch(4)
    gradients = [p.grad for p in built.model.parameters() if p.grad is not None]
    assert bool(total.isfinite())
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert all(bool(value.isfinite().all()) for value in built.state().values())


@pytest.mark.parametrize("name", MULTIMODAL)
@pytest.mark.parametrize("keep", [(), ("image",), ("text",), ("image", "text")], ids=str)
def test_margins_from_labelled_parts_are_those_of_the_masked_model(
    keep: tuple[str, ...], name: str, inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model, batch = make(name, inputs).eval(), make_batch(inputs)
    mask = frozenset(keep)
    masked = model.embed(mask)
    users = masked.users[batch.users]
    difference = masked.items[batch.positive_items] - masked.items[batch.negative_items[:, 0]]
    torch.testing.assert_close(
        Passes(model).margins(batch, mask)[:, 0], (users * difference).sum(-1)
    )


@pytest.mark.parametrize("name", MULTIMODAL)
def test_owners_are_named_for_every_component(name: str, inputs: Inputs) -> None:
    model = make(name, inputs)
    owners = model.component_owners()
    known = {None, *model.modalities}
    assert owners is None or (len(owners) == len(model.components()) and set(owners) <= known)

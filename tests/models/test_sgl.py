from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn.functional import normalize

from models.baselines.lightgcn import LightGCN, LightGCNParams
from models.baselines.sgl import SGL, SGLParams
from models.inputs import Batch, Inputs
from models.sparse import SparseMatrix


def make(inputs: Inputs, params: SGLParams) -> SGL:
    return SGL(inputs, params, torch.Generator().manual_seed(0)).train()


def links(view: SparseMatrix | None) -> set[tuple[int, int]]:
    """Pairs of joined nodes."""
    assert view is not None
    dense = view(torch.eye(view.shape[1]))
    return {(int(row), int(column)) for row, column in dense.nonzero()}


def test_it_recommends_as_lightgcn_whatever_the_views_lack(inputs: Inputs) -> None:
    model = make(inputs, SGLParams(embedding_dim=8, dropout=0.9))
    plain = LightGCN(inputs, LightGCNParams(embedding_dim=8), torch.Generator().manual_seed(0))
    model.refresh(0, torch.Generator().manual_seed(0))
    assert torch.equal(model.embed().items, plain.embed().items)


def test_each_view_lacks_other_random_edges_and_other_ones_in_the_next_epoch(
    inputs: Inputs,
) -> None:
    model = make(inputs, SGLParams(embedding_dim=8, dropout=0.3))
    full = links(model.encoder.full)
    model.refresh(0, torch.Generator().manual_seed(0))
    first, second = links(model.first_view), links(model.second_view)
    assert first < full
    assert second < full
    assert first != second
    assert 0.5 * len(full) < len(first) < 0.9 * len(full)
    model.refresh(1, torch.Generator().manual_seed(1))
    assert links(model.first_view) not in (first, second)


def test_a_view_is_normalised_by_the_degrees_that_are_left(inputs: Inputs) -> None:
    model = make(inputs, SGLParams(embedding_dim=8, dropout=0.5))
    model.refresh(0, torch.Generator().manual_seed(0))
    view = model.first_view
    assert view is not None
    dense = view(torch.eye(view.shape[1]))
    degrees = (dense > 0).sum(1).clamp_min(1).sqrt()
    expected = (dense > 0).float() / (degrees[:, None] * degrees)
    torch.testing.assert_close(dense, expected)


def test_the_contrast_is_equation_10_over_the_distinct_rows_of_the_batch(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, SGLParams(embedding_dim=8, contrast_weight=0.7, temperature=0.5))
    model.refresh(0, torch.Generator().manual_seed(0))
    batch = make_batch(inputs)
    first = model.encoder(adjacency=model.first_view)
    second = model.encoder(adjacency=model.second_view)
    expected = torch.zeros(())
    for one, two, rows in (
        (first.users, second.users, batch.users),
        (first.items, second.items, batch.positive_items),
    ):
        distinct = sorted(set(rows.tolist()))
        assert len(distinct) < len(rows)
        cosines = normalize(one[distinct], dim=-1) @ normalize(two[distinct], dim=-1).T
        ratios = (cosines / 0.5).exp()
        expected = expected - (ratios.diagonal() / ratios.sum(1)).log().mean()
    torch.testing.assert_close(model.loss(batch)["contrast"], 0.7 * expected)


def test_at_most_as_many_rows_are_contrasted_as_asked(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, SGLParams(embedding_dim=8, contrast_samples=1, contrast_weight=1.0))
    model.refresh(0, torch.Generator().manual_seed(0))
    # One row has nothing to be told apart from.
    assert float(model.loss(make_batch(inputs))["contrast"].detach()) == 0.0


def test_the_sampled_rows_come_from_the_batch_generator(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, SGLParams(embedding_dim=8, contrast_samples=4))
    model.refresh(0, torch.Generator().manual_seed(0))
    batch = make_batch(inputs)
    terms = [
        model.loss(replace(batch, generator=torch.Generator().manual_seed(seed)))["contrast"].item()
        for seed in (1, 1, 2)
    ]
    assert terms[0] == terms[1] != terms[2]

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import leaky_relu, normalize

from models.baselines.ngcf import NGCF, NGCFParams
from models.encoders import Encoder
from models.inputs import Batch, Inputs


def make(inputs: Inputs, params: NGCFParams) -> NGCF:
    return NGCF(inputs, params, torch.Generator().manual_seed(0))


def propagated(encoder: Encoder, inputs: Inputs) -> list[torch.Tensor]:
    """Layers 0 to 2 by dense matrices, node by node as in Eq. 3-4 and 9."""
    users, items = inputs.edge_index
    links = torch.zeros(inputs.num_users, inputs.num_items)
    links[users, items] = 1.0
    scale = (links.sum(1)[:, None] * links.sum(0)).clamp_min(1).sqrt()
    links = links / scale
    layer_users, layer_items = encoder.users, encoder.items
    found = [torch.cat([layer_users, layer_items])]
    for sums, products in zip(encoder.sums, encoder.products, strict=True):
        from_items = torch.einsum("ui,id->ud", links, layer_items)
        from_users = torch.einsum("ui,ud->id", links, layer_users)
        layer_users, layer_items = (
            leaky_relu(own @ sums + around @ sums + (around * own) @ products, 0.2)
            for own, around in ((layer_users, from_items), (layer_items, from_users))
        )
        found.append(normalize(torch.cat([layer_users, layer_items]), dim=-1))
    return found


def test_vectors_are_the_normalised_layers_side_by_side(inputs: Inputs) -> None:
    model = make(inputs, NGCFParams(embedding_dim=8, num_layers=2))
    expected = torch.cat(propagated(model.encoder, inputs), dim=-1)
    vectors = model.embed()
    torch.testing.assert_close(torch.cat([vectors.users, vectors.items]), expected)
    assert vectors.items.shape[1] == 24


def test_the_backbone_of_micro_is_the_mean_of_the_same_layers(inputs: Inputs) -> None:
    encoder = Encoder(inputs, "ngcf", 8, 2, torch.Generator().manual_seed(0))
    expected = torch.stack(propagated(encoder, inputs)).mean(0)
    vectors = encoder()
    torch.testing.assert_close(torch.cat([vectors.users, vectors.items]), expected)


def test_without_layers_it_is_matrix_factorisation(inputs: Inputs) -> None:
    model = make(inputs, NGCFParams(embedding_dim=8, num_layers=0))
    assert torch.equal(model.embed().users, model.encoder.users)
    assert torch.equal(model.embed().items, model.encoder.items)


def test_only_the_id_embeddings_of_the_batch_are_regularised(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, NGCFParams(embedding_dim=8, reg_weight=0.5))
    batch = make_batch(inputs, size=4)
    rows = [
        model.encoder.users[batch.users],
        model.encoder.items[batch.positive_items],
        model.encoder.items[batch.negative_items[:, 0]],
    ]
    expected = 0.5 * sum(float(part.detach().square().sum()) for part in rows) / 8
    assert float(model.loss(batch)["reg"].detach()) == pytest.approx(expected, rel=1e-5)


def test_the_loss_ranks_by_the_vectors_it_recommends_with(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, NGCFParams(embedding_dim=8))
    batch = make_batch(inputs)
    vectors = model.embed()
    scores = vectors.users @ vectors.items.T
    margins = (
        scores[batch.users, batch.positive_items] - scores[batch.users, batch.negative_items[:, 0]]
    )
    torch.testing.assert_close(model.loss(batch)["bpr"], -margins.sigmoid().log().mean())

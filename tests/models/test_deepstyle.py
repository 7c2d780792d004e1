from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn.functional import normalize

from models import DeepStyle
from models.baselines.deepstyle import DeepStyleParams, cluster
from models.inputs import Batch, Categories, Embeddings, Inputs
from models.losses import bpr

IMAGE_ONLY = frozenset({"image"})


def make(inputs: Inputs, **changes: float) -> DeepStyle:
    params = DeepStyleParams(embedding_dim=4, num_categories=3, **changes)
    return DeepStyle(inputs, params, torch.Generator().manual_seed(0))


def with_category(inputs: Inputs) -> Inputs:
    return replace(inputs, categories={"type": Categories(torch.arange(24) % 5, 5)})


def scores(vectors: Embeddings) -> torch.Tensor:
    return vectors.users @ vectors.items.T


def test_the_vector_of_the_category_is_subtracted(inputs: Inputs) -> None:
    model = make(with_category(inputs))
    named = dict(model.named_parameters())
    items = named["items"] - named["projections.of_type.weight"].T[torch.arange(24) % 5]
    for modality in ("image", "text"):
        unit = normalize(inputs.features[modality], dim=-1)
        items = items + unit @ named[f"projections.of_{modality}.weight"].T
    torch.testing.assert_close(scores(model.embed()), named["users"] @ items.T)


def test_clusters_stand_in_where_there_is_no_category(inputs: Inputs) -> None:
    model = make(inputs)
    named = dict(model.named_parameters())
    items = named["items"]
    for modality in ("image", "text"):
        unit = normalize(inputs.features[modality], dim=-1)
        projected = unit @ named[f"projections.of_{modality}.weight"].T
        codes = model.clusters[f"of_{modality}"].codes
        assert set(codes.tolist()) <= {0, 1, 2}
        items = items + projected - named[f"clusters.of_{modality}.weight"].T[codes]
    torch.testing.assert_close(scores(model.embed()), named["users"] @ items.T)


def test_a_category_leaves_no_room_for_clusters(inputs: Inputs) -> None:
    assert len(make(inputs).clusters) == 2
    assert len(make(with_category(inputs)).clusters) == 0


def test_clusters_hide_with_the_modality_they_are_made_from(inputs: Inputs) -> None:
    model = make(inputs)
    identity, image, text = (scores(part) for part in model.components(IMAGE_ONLY))
    torch.testing.assert_close(identity, scores(model.components()[0]))
    torch.testing.assert_close(image, scores(model.components()[1]))
    torch.testing.assert_close(text, text[:, :1].expand_as(text))


def test_clusters_belong_to_their_modality(inputs: Inputs) -> None:
    groups = make(inputs).param_groups()
    assert [tuple(p.shape) for p in groups["image"]] == [(4, 12), (4, 3)]


def test_the_loss_sees_the_whole_score(inputs: Inputs, make_batch: Callable[..., Batch]) -> None:
    model, batch = make(inputs), make_batch(inputs)
    torch.testing.assert_close(model.loss(batch)["bpr"], bpr(model.embed(), batch))


def test_ids_and_styles_are_regularised_by_their_own_weights(inputs: Inputs) -> None:
    model = make(inputs, reg_weight=2.0, content_reg_weight=4.0)
    batch = Batch(
        torch.tensor([3]), torch.tensor([5]), torch.tensor([[7]]), torch.Generator().manual_seed(0)
    )
    terms = model.loss(batch)
    styles = model.embed().items - model.items
    tables = torch.cat([model.users[[3]], model.items[[5, 7]]])
    # Half of each weight times the squared norms, by one pair.
    torch.testing.assert_close(terms["reg"], tables.square().sum())
    torch.testing.assert_close(terms["content_reg"], 2.0 * styles[[5, 7]].square().sum())


def test_items_close_to_each_other_are_one_cluster() -> None:
    near = torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 9.0], [9.1, 9.0], [0.0, 0.1], [9.0, 9.1]])
    found = cluster(near, 2, torch.Generator().manual_seed(0)).codes
    assert found.tolist() in ([0, 0, 1, 1, 0, 1], [1, 1, 0, 0, 1, 0])


def test_there_are_no_more_clusters_than_items() -> None:
    found = cluster(torch.eye(3), 10, torch.Generator().manual_seed(0))
    assert found.num_categories == 3
    assert sorted(found.codes.tolist()) == [0, 1, 2]

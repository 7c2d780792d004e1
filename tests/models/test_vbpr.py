from collections.abc import Callable

import torch
from torch.nn.functional import normalize

from models import VBPR
from models.baselines.vbpr import VBPRParams, side_by_side
from models.inputs import Batch, Embeddings, Inputs
from models.losses import bpr, l2

IMAGE_ONLY, NOTHING = frozenset({"image"}), frozenset[str]()


def make(inputs: Inputs, **changes: float) -> VBPR:
    params = VBPRParams(embedding_dim=4, **changes)  # type: ignore[arg-type]  # no widths here
    return VBPR(inputs, params, torch.Generator().manual_seed(0))


def scores(vectors: Embeddings) -> torch.Tensor:
    return vectors.users @ vectors.items.T


def test_the_score_is_the_product_of_the_ids_and_one_product_per_modality(inputs: Inputs) -> None:
    model = make(inputs)
    named = dict(model.named_parameters())
    expected = named["users"] @ named["items"].T
    for modality in ("image", "text"):
        unit = normalize(inputs.features[modality], dim=-1)
        visual = unit @ named[f"projections.of_{modality}.weight"].T
        expected = expected + named[f"preferences.of_{modality}"] @ visual.T
    torch.testing.assert_close(scores(model.embed()), expected)


def test_a_part_depends_on_nothing_but_its_own_modality(inputs: Inputs) -> None:
    model = make(inputs)
    everything, image_only = model.components(), model.components(IMAGE_ONLY)
    torch.testing.assert_close(scores(image_only[0]), scores(everything[0]))
    torch.testing.assert_close(scores(image_only[1]), scores(everything[1]))
    assert not torch.allclose(scores(image_only[2]), scores(everything[2]))


def test_an_ablated_part_drops_out_of_every_margin(inputs: Inputs) -> None:
    *_, text = make(inputs).components(IMAGE_ONLY)
    ablated = scores(text)
    torch.testing.assert_close(ablated, ablated[:, :1].expand_as(ablated))
    torch.testing.assert_close(ablated, ablated[:1].expand_as(ablated))


def test_without_content_the_ids_alone_rank(inputs: Inputs) -> None:
    model = make(inputs)
    difference = scores(model.embed(NOTHING)) - scores(model.components()[0])
    torch.testing.assert_close(difference, difference[:1, :1].expand_as(difference))


def test_the_loss_sees_the_whole_score_and_ids_and_content_have_their_own_weights(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model, batch = make(inputs, reg_weight=2.0, content_reg_weight=3.0), make_batch(inputs)
    terms = model.loss(batch)
    identity, *content = model.components()
    joint = side_by_side(content)
    torch.testing.assert_close(terms["bpr"], bpr(model.embed(), batch))
    torch.testing.assert_close(terms["reg"], 2.0 * l2((identity.users, identity.items), batch))
    torch.testing.assert_close(terms["content_reg"], 3.0 * l2((joint.users, joint.items), batch))


def test_a_modality_owns_its_preference_and_its_projection(inputs: Inputs) -> None:
    groups = make(inputs).param_groups()
    sizes = {name: [tuple(p.shape) for p in group] for name, group in groups.items()}
    assert sizes == {
        "shared": [(30, 4), (24, 4)],
        "image": [(30, 4), (4, 12)],
        "text": [(30, 4), (4, 8)],
    }

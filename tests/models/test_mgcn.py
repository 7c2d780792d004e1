from collections.abc import Callable

import torch
from torch.nn.functional import normalize

from models import MGCN
from models.baselines.mgcn import MGCNParams
from models.inputs import Batch, Inputs
from models.item_graph import as_matrix, edge_weights


def make(inputs: Inputs, params: MGCNParams) -> MGCN:
    return MGCN(inputs, params, torch.Generator().manual_seed(0))


def shaken(model: MGCN) -> MGCN:
    """Biases other than zero, so that a forgotten one shows."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-1.0, 1.0, generator=generator)
    return model


def written_out(model: MGCN, inputs: Inputs) -> dict[str, torch.Tensor]:
    """Eq. 1-15 with dense matrices, users before items: `behaviour` and `fused`."""
    ratings = torch.zeros(inputs.num_users, inputs.num_items)
    ratings[inputs.edge_index[0], inputs.edge_index[1]] = 1.0
    scaled = (
        ratings
        / (ratings.sum(1, keepdim=True).clamp_min(1.0) * ratings.sum(0).clamp_min(1.0)).sqrt()
    )
    parts = []
    for modality in model.modalities:
        name, knn = f"of_{modality}", inputs.neighbours[modality]
        project, purifier = model.projections[name], model.purifiers[name]
        plain = inputs.features[modality] @ project.weight.T + project.bias
        pure = model.encoder.items * (plain @ purifier.weight.T + purifier.bias).sigmoid()
        items = as_matrix(knn, edge_weights(knn))(torch.eye(inputs.num_items)) @ pure
        parts.append(torch.cat([scaled @ items, items]))
    vectors = model.encoder()
    behaviour = torch.cat([vectors.users, vectors.items])
    stacked = torch.stack(parts)
    logits = (stacked @ model.attention.weight.T + model.attention.bias).tanh() @ model.query
    common = (logits.softmax(0)[..., None] * stacked).sum(0)
    total = common.clone()
    for modality, part in zip(model.modalities, parts, strict=True):
        preference = model.preferences[f"of_{modality}"]
        gate = (behaviour @ preference.weight.T + preference.bias).sigmoid()
        total = total + gate * (part - common)
    return {"behaviour": behaviour, "fused": total / (1 + len(parts))}


def test_the_vectors_are_equations_1_to_17(inputs: Inputs) -> None:
    model = shaken(make(inputs, MGCNParams(embedding_dim=8, k=5))).eval()
    expected = written_out(model, inputs)
    vectors = model.embed()
    users, items = (expected["behaviour"] + expected["fused"]).tensor_split([inputs.num_users])
    torch.testing.assert_close(vectors.users, users)
    # Item 0 has no pairs and borrows from its neighbours.
    torch.testing.assert_close(vectors.items[1:], items[1:])


def test_the_contrast_is_equation_16_among_distinct_users_and_items(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = shaken(make(inputs, MGCNParams(embedding_dim=8, k=5, contrast_weight=1.0)))
    batch = make_batch(inputs)
    assert len(batch.users.unique()) < len(batch.users)
    made = written_out(model, inputs)
    losses = []
    for rows in (batch.users, batch.positive_items + inputs.num_users):
        fused, others = made["fused"][rows], made["behaviour"][rows.unique()]
        logits = (normalize(fused) @ normalize(others).T / 0.2).exp()
        own = (rows[:, None] == rows.unique()).float()
        losses.append(-((logits * own).sum(1) / logits.sum(1)).log().mean())
    torch.testing.assert_close(model.loss(batch)["contrast"], torch.stack(losses).sum())


def test_a_sampled_contrast_takes_the_batch_s_first_pairs(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    batch = make_batch(inputs)
    users = torch.cat([batch.users[:4], batch.users[:4]])
    items = torch.cat([batch.positive_items[:4], batch.positive_items[:4]])
    twice = Batch(users, items, batch.negative_items[:8], batch.generator)
    all_pairs = make(inputs, MGCNParams(embedding_dim=8, contrast_samples=8)).loss(twice)
    first = make(inputs, MGCNParams(embedding_dim=8, contrast_samples=4)).loss(twice)
    torch.testing.assert_close(first["contrast"], all_pairs["contrast"])
    two = make(inputs, MGCNParams(embedding_dim=8, contrast_samples=2)).loss(twice)
    assert not torch.equal(two["contrast"], all_pairs["contrast"])


def test_batches_are_ranked_by_the_vectors_of_everyone(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, MGCNParams(embedding_dim=8, reg_weight=2.0))
    batch = make_batch(inputs, 0, 16)
    vectors, terms = model.embed(), model.loss(batch)
    better, worse = batch.positive_items, batch.negative_items[:, 0]
    users = vectors.users[batch.users]
    margins = (users * (vectors.items[better] - vectors.items[worse])).sum(-1)
    torch.testing.assert_close(terms["bpr"], -margins.sigmoid().log().mean())
    items = vectors.items[torch.cat([better, worse])]
    squares = users.square().sum() + items.square().sum()
    torch.testing.assert_close(terms["reg"], squares / 16)


def test_an_ablated_modality_is_a_constant_gate_without_a_graph(inputs: Inputs) -> None:
    model = shaken(make(inputs, MGCNParams(embedding_dim=8))).eval()
    views = model._views(frozenset({"text"}))
    project, purifier = model.projections["of_image"], model.purifiers["of_image"]
    mean = inputs.features["image"].mean(0) @ project.weight.T + project.bias
    gate = (mean @ purifier.weight.T + purifier.bias).sigmoid()
    torch.testing.assert_close(views.content.items[:, :8], model.encoder.items * gate)

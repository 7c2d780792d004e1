from collections.abc import Callable

import torch
from torch.nn.functional import logsigmoid, normalize

from models import LGMRec
from models.baselines.lgmrec import LGMRecParams
from models.inputs import Batch, Inputs
from models.item_graph import item_graph
from models.local_global import contrast, prepared


def make(inputs: Inputs, params: LGMRecParams) -> LGMRec:
    return LGMRec(inputs, params, torch.Generator().manual_seed(0))


def test_the_score_adds_ids_normalised_features_and_normalised_global_vectors(
    inputs: Inputs,
) -> None:
    params = LGMRecParams(embedding_dim=8, global_weight=0.7, modality_weights={"image": 0.5})
    model = make(inputs, params).eval()
    ids = model.encoder()
    expected = torch.cat([ids.users, ids.items])
    global_users = torch.zeros(inputs.num_users, 8)
    global_items = torch.zeros(inputs.num_items, 8)
    ratings = torch.zeros(inputs.num_users, inputs.num_items)
    ratings[inputs.edge_index[0], inputs.edge_index[1]] = 1.0
    for modality, weight in (("image", 0.5), ("text", 1.0)):
        expected = expected + weight * normalize(model._local(modality)(), dim=-1)
        prototypes = model.prototypes[f"of_{modality}"].weight
        affinities = inputs.features[modality] @ prototypes.T
        items = (affinities / 0.2).softmax(-1)
        users = (ratings @ affinities / 0.2).softmax(-1)
        global_users += (users @ items.T @ ids.items).detach()
        global_items += (items @ items.T @ ids.items).detach()
    vectors = model.embed()
    local_users, local_items = expected.split([inputs.num_users, inputs.num_items])
    torch.testing.assert_close(vectors.users, local_users + 0.7 * normalize(global_users))
    torch.testing.assert_close(vectors.items, local_items + 0.7 * normalize(global_items))


def test_without_noise_the_loss_is_that_of_the_vectors(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, LGMRecParams(embedding_dim=8, reg_weight=0.5)).eval()
    batch = make_batch(inputs)
    vectors, terms = model.embed(), model.loss(batch)
    users, negatives = vectors.users[batch.users], vectors.items[batch.negative_items[:, 0]]
    margins = (users * (vectors.items[batch.positive_items] - negatives)).sum(-1)
    torch.testing.assert_close(terms["bpr"], -logsigmoid(margins).mean())
    ids = model.encoder
    rows = torch.cat(
        [
            ids.users[batch.users],
            ids.items[batch.positive_items],
            ids.items[batch.negative_items[:, 0]],
        ]
    )
    torch.testing.assert_close(terms["reg"], 0.5 * rows.square().sum() / (2 * len(users)))


def test_in_training_hyperedges_are_noisy_and_vectors_are_not(
    inputs: Inputs, make_batch: Callable[..., Batch]
) -> None:
    model = make(inputs, LGMRecParams(embedding_dim=8)).train()
    batch = make_batch(inputs)
    assert model.loss(batch)["bpr"] != model.loss(batch)["bpr"]
    assert torch.equal(model.embed().users, model.embed().users)


def test_the_contrast_sums_over_pairs_of_modalities_and_over_both_sides(
    make_inputs: Callable[..., Inputs], make_batch: Callable[..., Batch]
) -> None:
    inputs = make_inputs({"audio": 5, "image": 12, "text": 8})
    params = LGMRecParams(embedding_dim=8, contrast_samples=6, contrast_weight=2.0)
    model = make(inputs, params).eval()
    batch = make_batch(inputs)
    parts = model.hypergraph(model.affinities(), model.encoder())
    users, items = batch.users[:6], batch.positive_items[:6]
    expected = torch.zeros(())
    for first, second in ((0, 1), (0, 2), (1, 2)):
        for kind, rows in (("users", users), ("items", items)):
            anchors, candidates = (getattr(parts[n], kind)[rows] for n in (first, second))
            expected = expected + contrast(anchors, candidates, rows, 0.2)
    torch.testing.assert_close(model.loss(batch)["contrast"], 2.0 * expected)


def test_one_modality_has_nothing_to_be_contrasted_with(
    make_inputs: Callable[..., Inputs], make_batch: Callable[..., Batch]
) -> None:
    inputs = make_inputs({"text": 8})
    assert set(make(inputs, LGMRecParams()).loss(make_batch(inputs))) == {"bpr", "reg"}


def test_the_same_user_twice_is_no_negative_of_itself() -> None:
    anchors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    # Rows 0 and 1 are one user: each row has the other user as its only negative.
    # Cosines 1 and 0 at temperature 0.5: ln(1 + e^-2) for the double user and for the other one
    # ln(1 + 2 e^-2).
    once = torch.tensor(-2.0).exp()
    expected = (2 * (1 + once).log() + (1 + 2 * once).log()) / 3
    measured = contrast(anchors, anchors, torch.tensor([7, 7, 9]), 0.5)
    torch.testing.assert_close(measured, expected)


def test_features_can_be_averaged_over_similar_items_first(inputs: Inputs) -> None:
    graph = item_graph(inputs, "text", 5)
    params = LGMRecParams(embedding_dim=8, num_item_layers=2, k=5)
    twice = prepared(inputs, params)
    torch.testing.assert_close(twice.features["text"], graph(graph(inputs.features["text"])))
    model = make(inputs, params)
    torch.testing.assert_close(model.prototypes["of_text"].features, twice.features["text"])
    torch.testing.assert_close(model._local("text").projection.features, twice.features["text"])


def test_features_can_be_normalised_first(inputs: Inputs) -> None:
    model = make(inputs, LGMRecParams(embedding_dim=8, unit_features=True))
    expected = normalize(inputs.features["text"], dim=-1)
    torch.testing.assert_close(model.prototypes["of_text"].features, expected)

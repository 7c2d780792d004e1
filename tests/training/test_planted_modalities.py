"""Where content decides by construction, it must pay, and losing a part of it must cost."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from model_kinds import multimodal_names
from planted import Shop, recall, trained, uninformative

from models.recommender import Recommender
from training.data.dataset import Dataset, read_dataset
from training.data.importers.demo import import_demo
from training.data.splits import cold_items, random_per_user
from training.inputs import build_inputs

# Shares of Recall@20: by how much content must beat the same model trained on inputs that tell
# nothing, and how much the ablation of either modality after training must cost.
GAIN, COST = 0.10, 0.02
# BM3 stops the gradient of its content terms at the item's vector: content reaches the score by the
# common predictor alone, and over seeds pays nothing. It counts for items without interactions.
BY_CONTENT = [name for name in multimodal_names() if name != "bm3"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("planted") / "demo"
    import_demo(folder, num_users=1000, num_items=800, seed=0)
    return read_dataset(folder)


@pytest.fixture(scope="module")
def shop(dataset: Dataset) -> Shop:
    # Few training pairs: with many, interactions alone tell the clusters.
    split = random_per_user(dataset, np.random.default_rng(0), (0.4, 0.6, 0.0))
    return Shop(build_inputs(dataset, split.train), split)


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_CONTENT)
def test_content_pays_and_losing_either_modality_costs(name: str, shop: Shop) -> None:
    model = trained(name, shop, shop.inputs)
    with_all = recall(model, shop)
    without = recall(trained(name, shop, uninformative(shop.inputs)), shop)
    assert with_all > (1 + GAIN) * without
    for kept in ("image", "text"):
        assert recall(model, shop, frozenset({kept})) < (1 - COST) * with_all


@pytest.fixture(scope="module")
def cold_shop(dataset: Dataset) -> Shop:
    split = cold_items(dataset, np.random.default_rng(0))
    return Shop(build_inputs(dataset, split.train), split)


@pytest.fixture(scope="module")
def cold_trained(cold_shop: Shop) -> Callable[[str], Recommender]:
    """Models that have seen no pair of the cold items, each trained once."""
    return cache(lambda name: trained(name, cold_shop, cold_shop.inputs))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "factor"), [("bm3", 1.3), ("micro", 1.5), ("gnnmr", 2.0)])
def test_items_without_interactions_are_told_apart_by_their_content(
    name: str, factor: float, cold_shop: Shop, cold_trained: Callable[[str], Recommender]
) -> None:
    cold = torch.zeros(cold_shop.inputs.num_items, dtype=torch.bool)
    cold[torch.from_numpy(cold_shop.split.validation.item_rows)] = True
    model = cold_trained(name)
    by_interactions = cold_trained("lightgcn")
    # To LightGCN all of them are the same: it finds them by chance among themselves, and never
    # among the others.
    assert recall(by_interactions, cold_shop) == 0.0
    found = recall(model, cold_shop, among=cold)
    assert found > factor * recall(by_interactions, cold_shop, among=cold)
    assert found > factor * recall(model, cold_shop, frozenset(), among=cold)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("micro", 0.05), ("gnnmr", 0.1)])
def test_items_without_interactions_are_found_among_all_others(
    name: str, least: float, cold_shop: Shop, cold_trained: Callable[[str], Recommender]
) -> None:
    # By chance 0.025 of them would be, and LightGCN finds none.
    assert recall(cold_trained(name), cold_shop) > least

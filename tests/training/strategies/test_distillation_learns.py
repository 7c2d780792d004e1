"""What CKD is for: a student learns from its teachers what its own pairs do not show."""

import pytest
import torch

from models.inputs import Batch, Embeddings, Inputs
from models.recommender import Recommender
from training.data.pairs import Pairs
from training.registry import (
    build_model,
    build_strategy,
    parse_params,
    parse_strategy_params,
)
from training.strategies.strategy import KnownPairs

NUM_USERS, NUM_ITEMS, WIDTH, LIKED, STEPS = 60, 80, 6, 12, 120
MODALITIES = ("image", "text")


class Tastes:
    """Users like the items that suit their tastes in image and text; half of them are hidden."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.features = {m: torch.randn(NUM_ITEMS, WIDTH, generator=generator) for m in MODALITIES}
        self.tastes = {m: torch.randn(NUM_USERS, WIDTH, generator=generator) for m in MODALITIES}
        scores = sum((self.tastes[m] @ self.features[m].T for m in MODALITIES), torch.zeros(()))
        liked = scores.topk(LIKED).indices
        order = torch.rand(liked.shape, generator=generator).argsort(-1)
        liked = liked.gather(1, order)
        self.shown, self.hidden = liked[:, : LIKED // 2], liked[:, LIKED // 2 :]
        users = torch.arange(NUM_USERS).repeat_interleave(LIKED // 2)
        self.inputs = Inputs(
            NUM_USERS, NUM_ITEMS, torch.stack([users, self.shown.flatten()]), self.features
        )

    def teach(self, modality: str, *_: object) -> Embeddings:
        """A teacher that knows the true tastes in its modality."""
        return Embeddings(self.tastes[modality] / 2, self.features[modality])

    def found(self, model: Recommender, keep: frozenset[str] | None) -> float:
        """Share of the hidden items among the first LIKED / 2 that are not shown."""
        vectors = model.eval().embed(keep)
        scores = (vectors.users @ vectors.items.T).detach()
        scores.scatter_(1, self.shown, -torch.inf)
        first = scores.topk(LIKED // 2).indices
        return float((first[:, :, None] == self.hidden[:, None]).any(-1).float().mean())

    def trained(self, strategy: str, params: dict[str, object]) -> Recommender:
        settings = {"embedding_dim": 8, "reg_weight": 0.01, "content_reg_weight": 0.01}
        model = build_model("vbpr", parse_params("vbpr", settings), self.inputs, 0)
        rows = self.inputs.edge_index.numpy()
        pairs = Pairs.of(rows[0], rows[1])
        built = build_strategy(
            strategy, parse_strategy_params(strategy, params), model, KnownPairs(pairs, pairs)
        )
        built.prepare(self.teach)
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        generator = torch.Generator().manual_seed(1)
        for _ in range(STEPS):
            optimizer.zero_grad()
            torch.stack(list(built.loss(self._batch(generator)).values())).sum().backward()
            optimizer.step()
        return model

    def _batch(self, generator: torch.Generator) -> Batch:
        picked = torch.randint(self.inputs.edge_index.shape[1], (128,), generator=generator)
        users, positives = self.inputs.edge_index[:, picked]
        negatives = torch.randint(NUM_ITEMS, (128, 1), generator=generator)
        return Batch(users, positives, negatives, generator)


@pytest.fixture(scope="module")
def tastes() -> Tastes:
    return Tastes()


@pytest.fixture(scope="module")
def plain(tastes: Tastes) -> Recommender:
    return tastes.trained("plain", {})


@pytest.fixture(scope="module")
def taught(tastes: Tastes) -> Recommender:
    return tastes.trained("ckd", {"distill_weight": 1.0})


KEPT: list[frozenset[str] | None] = [None, frozenset({"image"}), frozenset({"text"})]


@pytest.mark.parametrize("keep", KEPT, ids=str)
def test_teachers_lift_the_student_and_each_of_its_modalities(
    keep: frozenset[str] | None, tastes: Tastes, plain: Recommender, taught: Recommender
) -> None:
    assert tastes.found(taught, keep) > 1.2 * tastes.found(plain, keep)


def test_random_triples_teach_more_than_the_training_ones_alone(
    tastes: Tastes, taught: Recommender
) -> None:
    narrow = tastes.trained("ckd", {"distill_weight": 1.0, "generic_weight": 0.0})
    assert tastes.found(taught, None) > tastes.found(narrow, None)

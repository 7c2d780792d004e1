from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.inputs import ALL, Batch, Embeddings, Inputs, Keep
from models.recommender import Recommender
from training.choosing import choosing
from training.component_weights import weigh_components
from training.config import RunConfig, TrainingConfig
from training.data.dataset import Dataset
from training.data.pairs import Pairs
from training.data.splits import make_split
from training.errors import DataError
from training.evaluation import evaluate
from training.run_folder import RunFolder
from training.runs import evaluate_run, train_run

USERS, ITEMS = 60, 80


class Sum(Recommender):
    """Adds up given components."""

    def __init__(self, parts: list[Embeddings], *, weighted: bool = True) -> None:
        edges = torch.zeros((2, 0), dtype=torch.int64)
        super().__init__(Inputs(USERS, ITEMS, edges))
        self.parts = parts
        self.register_buffer("weights", torch.ones(len(parts)) if weighted else None)

    def component_weights(self) -> Tensor | None:
        return self.weights  # type: ignore[return-value]  # the buffer

    def components(self, keep: Keep = ALL) -> list[Embeddings]:  # noqa: ARG002
        given = torch.ones(len(self.parts)) if self.weights is None else self.weights
        roots = given.sqrt()  # type: ignore[operator]  # the buffer
        pairs = zip(roots, self.parts, strict=True)
        return [Embeddings(root * part.users, root * part.items) for root, part in pairs]

    def embed(self, keep: Keep = ALL) -> Embeddings:
        parts = self.components(keep)
        return Embeddings(
            torch.cat([part.users for part in parts], -1),
            torch.cat([part.items for part in parts], -1),
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        raise NotImplementedError


def taste_and_noise() -> tuple[list[Embeddings], Pairs, Pairs]:
    """A component that knows what users like, one that hardly does, and one of loud noise."""
    generator = torch.Generator().manual_seed(0)

    def drawn(rows: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(rows, 8, generator=generator)

    users, items = drawn(USERS), drawn(ITEMS)
    liked = (users @ items.T).topk(8).indices
    rows = np.repeat(np.arange(USERS), 4)
    train, validation = (
        Pairs.of(rows, part.flatten().numpy()) for part in (liked[:, ::2], liked[:, 1::2])
    )
    good = Embeddings(users + drawn(USERS, 0.7), items)
    weak = Embeddings(users + drawn(USERS, 3.0), items)
    return [good, weak, Embeddings(drawn(USERS, 4.0), drawn(ITEMS))], train, validation


def weights_of(model: Sum) -> list[float]:
    weights = model.component_weights()
    assert weights is not None
    return weights.tolist()


def reached(model: Recommender, train: Pairs, validation: Pairs) -> float:
    return evaluate(model.scorer(), validation, train, USERS).means["recall@20"]


def test_chosen_weights_beat_equal_ones_and_every_component_alone() -> None:
    parts, train, validation = taste_and_noise()
    model = Sum(parts)
    before = reached(model, train, validation)
    alone = [reached(Sum([part]), train, validation) for part in parts]
    weigh_components(model, train, validation)
    after = reached(model, train, validation)
    assert after >= max(alone)
    assert after > before
    good, weak, noise = weights_of(model)
    assert good > weak > noise
    assert good + weak + noise == pytest.approx(3.0)


def test_components_that_tell_as_much_count_alike() -> None:
    parts, train, validation = taste_and_noise()
    generator = torch.Generator().manual_seed(1)
    turned = torch.linalg.qr(torch.randn(8, 8, generator=generator)).Q
    twin = Embeddings(parts[0].users @ turned, parts[0].items @ turned)
    model = Sum([parts[0], twin])
    weigh_components(model, train, validation)
    assert weights_of(model) == pytest.approx([1.0, 1.0], abs=1e-3)


def test_a_sample_of_the_items_tells_nearly_the_same() -> None:
    parts, train, validation = taste_and_noise()
    every, some = Sum(parts), Sum(parts)
    weigh_components(every, train, validation)
    weigh_components(some, train, validation, scores=3 * USERS * ITEMS // 2)
    assert weights_of(some) == pytest.approx(weights_of(every), abs=0.2)
    assert weights_of(some) != weights_of(every)


def test_components_that_all_mislead_count_alike() -> None:
    parts, train, validation = taste_and_noise()
    model = Sum([Embeddings(-part.users, part.items) for part in (parts[0], parts[0])])
    weigh_components(model, train, validation)
    assert weights_of(model) == [1.0, 1.0]


def test_without_validation_pairs_all_components_count_alike() -> None:
    parts, train, _ = taste_and_noise()
    model = Sum(parts)
    weigh_components(model, train, Pairs.of([], []))
    assert weights_of(model) == [1.0, 1.0, 1.0]


def test_a_model_without_weights_stays_as_it_was_learned() -> None:
    parts, train, validation = taste_and_noise()
    model = Sum(parts, weighted=False)
    before = model.embed().users
    weigh_components(model, train, validation)
    assert torch.equal(model.embed().users, before)


def test_of_many_users_a_fixed_sample_chooses() -> None:
    _, train, validation = taste_and_noise()
    few, again = (choosing(train, validation, at_most=20) for _ in range(2))
    assert len(few.rows) == 20
    assert torch.equal(few.rows, again.rows)
    users = few.rows.numpy()
    indptr, indices = validation.to_csr(USERS)
    own_indptr, own = few.relevant.to_csr(20)
    for position, user in enumerate(users):
        kept = own[own_indptr[position] : own_indptr[position + 1]]
        assert set(kept) == set(indices[indptr[user] : indptr[user + 1]])
    assert len(few.masked.user_rows) == 4 * 20


def config_of(**params: object) -> RunConfig:
    settings = TrainingConfig(max_epochs=3, eval_every=1, batch_size=256, num_threads=1)
    return RunConfig(model="gnnmr", params={"embedding_dim": 4, **params}, training=settings)


def test_a_run_keeps_the_weights_and_is_tested_with_them(
    demo_dataset: Dataset, tmp_path: Path
) -> None:
    equal, weighed = RunFolder(tmp_path / "equal"), RunFolder(tmp_path / "weighed")
    train_run(demo_dataset, config_of(), equal)
    train_run(demo_dataset, config_of(ensemble_weights="validation"), weighed)
    assert equal.result().component_weights == ()
    weights = weighed.result().component_weights
    assert sum(weights) == pytest.approx(2.0)
    assert weights[0] != weights[1]
    assert weighed.model_state()["weights"].tolist() == list(weights)
    stored, plain = weighed.embeddings(), equal.embeddings()
    roots = torch.tensor(weights).sqrt().repeat_interleave(4)
    torch.testing.assert_close(stored["users"], plain["users"] * roots)
    torch.testing.assert_close(stored["items"], plain["items"] * roots)
    tested = evaluate_run(demo_dataset, weighed)
    split = make_split(demo_dataset, weighed.config().split, 0)
    test = split.test.open(tmp_path / "opened.json")
    by_hand = evaluate(
        lambda rows: plain["users"][rows] * roots**2 @ plain["items"].T,
        test,
        split.train,
        demo_dataset.num_users,
    )
    assert tested.means["recall@20"] == pytest.approx(by_hand.means["recall@20"])


def test_weights_for_an_average_are_refused_before_a_folder_is_made(
    demo_dataset: Dataset, tmp_path: Path
) -> None:
    config = config_of(ensemble="ave", ensemble_weights="validation")
    with pytest.raises(DataError, match="use ensemble=con"):
        train_run(demo_dataset, config, RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()

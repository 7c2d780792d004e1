import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from benchmarks.funds.bootstrap import Sample
from benchmarks.funds.calibration import (
    Chances,
    calibration_error,
    fit_logistic,
    predicted,
    reliability,
)
from benchmarks.funds.fusion import fused, lesson, zscored
from benchmarks.funds.holdings import Floats, Holdings
from benchmarks.funds.learned import Laboratory, Learned
from benchmarks.funds.random_split import over_splits, random_findings, random_parts, variants
from benchmarks.funds.ranking import measure
from benchmarks.funds.rolling import Finding, by_sector, findings, roll
from benchmarks.funds.simple import itemcf, momentum, popularity, similar_managers
from training.data.dataset import Dataset
from training.data.pairs import Pairs
from training.likelihood import likeliest_weights

# Three funds, four companies: the first fund newly takes company 2, which its twin holds.
THEN = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]], dtype=np.bool_)
NOW = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]], dtype=np.bool_)
NEXT = np.array([[1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]], dtype=np.bool_)
HELD = np.stack([THEN, NOW, NEXT])
QUARTERS = [dt.date(2024, 3, 31), dt.date(2024, 6, 30), dt.date(2024, 9, 30)]
HOLDINGS = Holdings(QUARTERS, HELD)
FIRST = {"popularity": popularity, "itemcf": itemcf}


def test_only_companies_never_held_before_count_and_only_their_managers() -> None:
    scores = np.tile(np.array([9.0, 9.0, 1.0, 2.0]), (3, 1))

    found = measure(HOLDINGS, 2, scores)

    # Companies 0 and 1 are held, so company 3 is first and the hit second: 1 / log2(3).
    assert found["recall@10"][0] == 1.0
    assert found["ndcg@10"][0] == pytest.approx(1 / np.log2(3))
    assert np.isnan(found["recall@10"][1:]).all()


def test_a_manager_that_did_not_report_the_quarter_before_does_not_count() -> None:
    held = HELD.copy()
    held[:2, 2] = False

    assert not Holdings(QUARTERS, held).truth(2)[2].any()


def test_scores_come_from_the_past_alone() -> None:
    assert momentum(HELD[:2])[0].tolist() == [0, 0, 1, 0]
    assert itemcf(HELD[:2])[0].tolist() == [2, 2, 2, 0]
    assert similar_managers(HELD[:2], 2.0)[0].argmax() in (0, 1, 2)
    assert similar_managers(HELD[:2], 2.0)[0][3] == 0


def test_a_mean_is_over_quarters_not_over_pairs() -> None:
    # One manager counts in the first quarter, three in the second: (1 + 0) / 2, not 1 / 4.
    values = np.array([[1.0, np.nan, np.nan], [0.0, 0.0, 0.0]])

    value, low, high = Sample(~np.isnan(values), draws=50).spread(values)

    assert (value, low, high) == (0.5, 0.5, 0.5)


def test_models_are_compared_on_the_same_draws() -> None:
    baseline = np.random.default_rng(1).random((2, 40)) + 0.5

    lift = Sample(np.ones((2, 40), dtype=np.bool_), draws=200).lift(1.2 * baseline, baseline)

    assert lift == pytest.approx((20.0, 20.0, 20.0))


def test_members_of_an_ensemble_count_alike_whatever_their_scale() -> None:
    one = np.array([[1.0, 2.0, 3.0, 6.0]])
    other = np.array([[900.0, 100.0, 500.0, 500.0]])

    together = fused([zscored(one), zscored(other)])

    assert together == pytest.approx(fused([zscored(1e6 * one), zscored(other)]))
    assert zscored(np.ones((1, 4))).tolist() == [[0.0] * 4]


def test_an_ensemble_is_measured_beside_its_members_and_by_sector() -> None:
    rolled = roll(HOLDINGS, FIRST, [2], {}, {"ensemble": ("popularity", "itemcf")})
    sectors = np.array([0, 0, 1, 1])

    values = {(f.model, f.setting, f.metric): f.spread for f in findings(HOLDINGS, rolled)}
    by = by_sector(HOLDINGS, rolled, sectors, ("a", "b"), ("ensemble",))

    # Company 2 is the likelier one of the two that the first fund never held.
    assert values["ensemble", "all", "ndcg@10"] == (1.0, 1.0, 1.0)
    assert values["ensemble", "all, over itemcf", "recall@20_lift_percent"] == (0.0, 0.0, 0.0)
    assert {f.setting: f.spread[0] for f in by} == {"sector b": 1.0}


def test_weights_follow_what_came_true_in_earlier_quarters() -> None:
    rng = np.random.default_rng(0)
    held = np.zeros((5, 30, 40), dtype=np.bool_)
    held[0] = rng.random((30, 40)) < 0.2
    for quarter in range(1, 5):
        new = rng.integers(40, size=30)
        held[quarter] = held[quarter - 1]
        held[quarter, np.arange(30), new] = True
    holdings = Holdings([dt.date(2024, 1, day) for day in range(1, 6)], held)
    wise = [held[quarter].astype(np.float64) for quarter in range(1, 5)]
    foolish = [rng.random((30, 40)) for _ in range(4)]

    lessons = [
        lesson(holdings, quarter, [zscored(wise[quarter - 1]), zscored(foolish[quarter - 1])])
        for quarter in (1, 2)
    ]
    weights = likeliest_weights(lessons)

    assert weights[0] > 3 * weights[1]
    assert weights.min() >= 0.0


def test_the_weights_of_a_quarter_do_not_depend_on_what_comes_later() -> None:
    later = HELD.copy()
    later[2] = HELD[2][:, ::-1]
    members = {"ensemble": ("popularity", "itemcf")}

    rolled = [roll(Holdings(QUARTERS, held), FIRST, [2], members, {}) for held in (HELD, later)]

    assert np.array_equal(rolled[0].scores["ensemble"][0], rolled[1].scores["ensemble"][0])


def test_chances_learned_from_outcomes_come_true() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200_000, 2))
    bought = rng.random(200_000) < 1 / (1 + np.exp(4.0 - features[:, 0]))
    known = Chances(features, bought)

    chance = predicted(fit_logistic([known]), known)

    bins = reliability(chance, bought)
    assert sum(b.pairs for b in bins) == 200_000
    assert calibration_error(bins) < 0.002
    assert [b.observed for b in bins if b.pairs > 5000] == sorted(
        b.observed for b in bins if b.pairs > 5000
    )


def test_a_random_split_deals_every_pair_out_once() -> None:
    train, validation, test = random_parts(HOLDINGS, np.random.default_rng(0))

    pairs = [
        (int(fund), int(company))
        for part in (train, validation, test)
        for fund, company in zip(part.user_rows, part.item_rows, strict=True)
    ]
    assert sorted(pairs) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 3)]
    assert (len(train), len(validation), len(test)) == (6, 0, 1)


class Answering:
    """Scores as a laboratory: `a` knows the validation part, `b` the test part, all know both.

    A network that was trained with others knows what they know: a tenth less sure of it.
    """

    seed = 0

    def __init__(self, holdings: Holdings) -> None:
        parts = random_parts(holdings, np.random.default_rng(self.seed))
        self.parts = dict(zip(("train", "a", "b"), parts, strict=True))
        self.noise = np.random.default_rng(1).random(holdings.held[0].shape)

    def scores(
        self, learned: Learned, known: Pairs, validation: Pairs, network: str | None = None
    ) -> Floats:
        assert known is not validation
        found = self.noise.copy()
        for name in learned.modalities:
            sure = 1.0 if network in (None, name) else 0.9
            found[self.parts[name].user_rows, self.parts[name].item_rows] += sure
        return found


def test_the_whole_is_compared_with_the_single_modality_that_validation_would_choose() -> None:
    held = np.random.default_rng(0).random((1, 12, 200)) < 0.4
    holdings = Holdings(QUARTERS[:1], held)
    laboratory = cast(Laboratory, Answering(holdings))
    found = random_findings(holdings, laboratory, ("a", "b"))
    spread = {
        f.setting.split("modalities, ")[1]: f.spread for f in found if "recall@20" in f.metric
    }
    figures = {name: spread[name][0] for name in ("all", "only a", "only b")}
    assert figures["only b"] > figures["only a"] > 0.0
    chosen = spread["all over the single one best on validation"][0]
    assert chosen == pytest.approx(100 * (figures["all"] / figures["only a"] - 1))
    best = spread["all over the best single one"][0]
    assert best == pytest.approx(100 * (figures["all"] / figures["only b"] - 1))
    taught = spread["the network of a"][0] + spread["the network of b"][0]
    gained = spread["its networks over the same trained alone"][0]
    assert gained == pytest.approx(100 * (taught / (figures["only a"] + figures["only b"]) - 1))
    assert gained > 0.0


def test_every_network_of_a_model_is_kept_when_it_was_trained_once(
    demo: Dataset, tmp_path: Path
) -> None:
    laboratory = Laboratory(demo, tmp_path / "cache")
    known = Pairs.of(np.arange(20) % 5, np.arange(20) % 7)
    learned = Learned("gnnmr", {"embedding_dim": 4}, 1, {}, ("image", "text"))

    image = laboratory.scores(learned, known, None, "image")

    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert len(kept) == 3
    text, whole = laboratory.scores(learned, known, None, "text"), laboratory.scores(learned, known)
    assert kept == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert not np.allclose(image, text)
    assert not np.allclose(image, whole)


def test_figures_of_several_splits_are_their_mean_with_its_interval() -> None:
    of_splits = [[Finding("gnnmr", "all", "recall@20", (v, 0.0, 1.0))] for v in (0.1, 0.5, 0.3)]

    [finding] = over_splits(of_splits)

    # Student's t of two degrees of freedom; a tenth is measured for eight tenths learned from.
    half = 4.3027 * 0.2 * np.sqrt(1 / 3 + 1 / 8)
    assert finding.spread == pytest.approx((0.3, 0.3 - half, 0.3 + half), abs=1e-4)
    assert over_splits(of_splits[:1]) == of_splits[0], "a single split keeps its interval"


def test_a_change_that_is_the_same_on_every_split_is_certain_however_splits_differ() -> None:
    def found(level: float) -> list[Finding]:
        spreads = {"recall@20": level, "recall@20_lift_percent": 5.0}
        return [Finding("gnnmr", "all", m, (v, 0.0, 1.0)) for m, v in spreads.items()]

    level, lift = over_splits([found(0.1), found(0.3)])

    assert level.spread[1] < 0.1
    assert lift.spread == (5.0, 5.0, 5.0)


@pytest.mark.parametrize("encoder", ["gat", "lightgcn"])
def test_variants_of_gnnmr_differ_in_what_they_are_compared_for_and_in_nothing_else(
    encoder: str,
) -> None:
    found = variants(("b", "a"), encoder)

    whole, untaught = found["all"], found["without mutual learning"]
    assert whole.params.get("encoder", "gat") == encoder
    assert whole.params["mutual_weight"] != 0.0
    assert replace(untaught, params=whole.params) == whole
    assert untaught.params == {**whole.params, "mutual_weight": 0.0}
    assert found["only a"] == replace(whole, modalities=("a",))
    assert whole.modalities == ("a", "b")

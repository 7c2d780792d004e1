"""Rankings quarter by quarter, ensembles of them, and the rows of what they find."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.funds import calibration
from benchmarks.funds.bootstrap import Sample, Spread
from benchmarks.funds.fusion import fused, lesson, zscored
from benchmarks.funds.holdings import Flags, Floats, Holdings
from benchmarks.funds.members import BASELINES, ENSEMBLES, FIXED, Ranking
from benchmarks.funds.ranking import METRICS, measure, ranked
from training.likelihood import likeliest_weights

FIRST_TESTED = dt.date(2023, 12, 31)
"""The quarter after 2023Q3. The one before knew 40 reporting managers, not 87: it is no test."""
SECTOR_CUT = 20
SHORT = ("recall@20", "ndcg@20")
"""What is shown of parts of the managers."""

Figures = dict[str, Floats]
"""Values [quarters, funds] by metric; NaN where a pair does not count."""
Show = Callable[[str], None]


@dataclass(frozen=True)
class Rolled:
    """Scores of every model for every tested quarter, and what they find."""

    tested: list[int]
    scores: dict[str, list[Floats]]
    figures: dict[str, Figures]


def roll(
    holdings: Holdings,
    rankings: Mapping[str, Ranking],
    tested: Sequence[int],
    ensembles: Mapping[str, Sequence[str]] = ENSEMBLES,
    fixed: Mapping[str, Sequence[str]] = FIXED,
    show: Show = lambda _: None,
) -> Rolled:
    """Rank for every tested quarter with every model and ensemble, from the quarters before.

    Args:
        holdings: All positions.
        rankings: Models by name.
        tested: The quarters, ascending.
        ensembles: Members of the ensembles whose weights are chosen for each quarter on those
            before it: the tested ones, and one more in front of them.
        fixed: Members of the ensembles of equal weights.
        show: Told the name of what is done.
    """
    quarters = [tested[0] - 1, *tested]
    scores: dict[str, list[Floats]] = {}
    for name, ranking in rankings.items():
        scores[name] = [ranking(holdings.past(quarter)) for quarter in quarters]
        show(name)
    scaled = {name: [zscored(one) for one in given] for name, given in scores.items()}
    for name, members in ensembles.items():
        scores[name] = _follow(holdings, quarters, [scaled[member] for member in members])
        show(name)
    for name, members in fixed.items():
        scores[name] = [fused(now) for now in zip(*(scaled[m] for m in members), strict=True)]
    shown = {name: given[1:] for name, given in scores.items()}
    figures = {name: _figures(holdings, tested, given) for name, given in shown.items()}
    return Rolled(list(tested), shown, figures)


def _follow(
    holdings: Holdings, quarters: Sequence[int], members: Sequence[Sequence[Floats]]
) -> list[Floats]:
    """Fuse members' z-scores quarter by quarter with the weights that the earlier ones teach.

    The first quarter only teaches; it gets equal weights.
    """
    by_quarter = list(zip(*members, strict=True))
    lessons = [lesson(holdings, *pair) for pair in zip(quarters, by_quarter, strict=True)]
    weights = [likeliest_weights(lessons[:place]) for place in range(1, len(quarters))]
    return [fused(by_quarter[0]), *map(fused, by_quarter[1:], weights)]


def _figures(holdings: Holdings, tested: Sequence[int], scores: Sequence[Floats]) -> Figures:
    found = [measure(holdings, quarter, s) for quarter, s in zip(tested, scores, strict=True)]
    return {metric: np.stack([quarter[metric] for quarter in found]) for metric in METRICS}


@dataclass(frozen=True)
class Finding:
    """One figure of the rolling evaluation."""

    model: str
    setting: str
    metric: str
    spread: Spread


def findings(holdings: Holdings, rolled: Rolled) -> list[Finding]:
    """Return what every model finds, for all managers and by their number of positions."""
    found = []
    for group, members in groups(holdings, rolled.tested).items():
        counted = members & ~np.isnan(rolled.figures["popularity"]["recall@10"])
        sample = Sample(counted)
        for model, figures in rolled.figures.items():
            metrics = METRICS if group == "all" else SHORT
            found += [Finding(model, group, m, sample.spread(figures[m])) for m in metrics]
        found += _lifts(sample, group, rolled.figures)
    return found


def groups(holdings: Holdings, tested: Sequence[int]) -> dict[str, Flags]:
    """Return which pairs of a quarter and a fund are in which group, [quarters, funds]."""
    thirds = [holdings.thirds(quarter) for quarter in tested]
    by_size = {name: np.stack([third[name] for third in thirds]) for name in thirds[0]}
    return {"all": np.ones((len(tested), holdings.held.shape[1]), dtype=np.bool_), **by_size}


def _lifts(sample: Sample, group: str, figures: Mapping[str, Figures]) -> list[Finding]:
    """Compare the ensemble with the baselines and with the other ensembles, pair by pair."""
    others = [*BASELINES, *(name for name in ENSEMBLES if name != "ensemble")]
    others += ["ease", *FIXED] if group == "all" else []
    return [
        Finding(
            "ensemble",
            f"{group}, over {other}",
            f"{metric}_lift_percent",
            sample.lift(figures["ensemble"][metric], figures[other][metric]),
        )
        for other in others
        if other in figures and sample.mean(figures[other]["recall@20"]) > 0.0
        for metric in SHORT
    ]


def by_sector(
    holdings: Holdings,
    rolled: Rolled,
    sectors: NDArray[np.int64],
    names: Sequence[str],
    models: Sequence[str] = ("popularity", "itemcf", "ensemble"),
) -> list[Finding]:
    """Return which part of the newly held companies of a sector is among a fund's first 20.

    Args:
        holdings: All positions.
        rolled: The scores.
        sectors: Sector of every company, -1 = unknown, int64 [companies].
        names: Names of the sectors.
        models: Models to show.
    """
    found = []
    for model in models:
        parts = [
            _sector_recall(holdings, quarter, scores, sectors, len(names))
            for quarter, scores in zip(rolled.tested, rolled.scores[model], strict=True)
        ]
        values = np.stack(parts)  # [quarters, sectors, funds]
        for number, name in enumerate(names):
            sample = Sample(~np.isnan(values[:, number]))
            if not sample.counted.any():
                continue
            setting = f"sector {name}"
            spread = sample.spread(values[:, number])
            found.append(Finding(model, setting, f"recall@{SECTOR_CUT}", spread))
    return found


def _sector_recall(
    holdings: Holdings,
    quarter: int,
    scores: Floats,
    sectors: NDArray[np.int64],
    count: int,
) -> Floats:
    truth = holdings.truth(quarter)
    funds = np.flatnonzero(truth.any(1))
    order = ranked(holdings, quarter, scores, funds)[:, :SECTOR_CUT]
    listed = np.zeros((len(funds), truth.shape[1]), dtype=np.bool_)
    np.put_along_axis(listed, order, True, axis=1)
    recall = np.full((count, len(truth)), np.nan)
    for number in range(count):
        wanted = truth[funds][:, sectors == number]
        hits = wanted & listed[:, sectors == number]
        some = wanted.any(1)
        recall[number, funds[some]] = hits.sum(1)[some] / wanted.sum(1)[some]
    return recall


def calibrated(
    holdings: Holdings, rolled: Rolled, model: str = "ensemble", warm_up: int = 1
) -> list[calibration.Bin]:
    """Turn scores into chances with what the tested quarters before taught; compare with fact.

    The first `warm_up` quarters only teach.
    """
    known = [
        calibration.chances(holdings, quarter, scores)
        for quarter, scores in zip(rolled.tested, rolled.scores[model], strict=True)
    ]
    predicted = [
        calibration.predicted(calibration.fit_logistic(known[:place]), known[place])
        for place in range(warm_up, len(known))
    ]
    bought = np.concatenate([part.bought for part in known[warm_up:]])
    return calibration.reliability(np.concatenate(predicted), bought)

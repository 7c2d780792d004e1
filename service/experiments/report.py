"""From counters to metrics of arms, and to what sets the arms apart."""

from collections.abc import Iterator, Mapping

from service.experiments.attribution import LAST_POSITION
from service.experiments.definition import Experiment
from service.experiments.measured import (
    ArmMetrics,
    ClickThrough,
    Conversion,
    Coverage,
    DifferenceBody,
    RateBody,
)
from service.experiments.schemas import ArmReport, ExperimentReport
from service.experiments.statistics import Rate, difference
from service.experiments.store import Counted

_CUTS = (1, 3, 5, 10, LAST_POSITION)
_FALLBACKS = ("popular", "padded", "degraded")

Counts = Mapping[tuple[int, int], Counted]


def report(
    catalog: str, experiment: Experiment, counts: Counts, num_items: int, since: str
) -> ExperimentReport:
    """The experiment with what was counted.

    Args:
        catalog: the catalog's name.
        experiment: as it is kept.
        counts: of all its arms.
        num_items: items that could be recommended.
        since: the first day that was counted.
    """
    of_arms = [counts[experiment.number, index] for index in range(len(experiment.arms))]
    return ExperimentReport(
        name=experiment.name,
        catalog=catalog,
        description=experiment.description,
        state="running" if experiment.running else "stopped",
        started_at=experiment.started_at,
        stopped_at=experiment.stopped_at,
        since=since,
        arms=[
            ArmReport(**dict(arm), metrics=metrics(counted, num_items))
            for arm, counted in zip(experiment.arms, of_arms, strict=True)
        ],
        differences=list(_differences(experiment, of_arms)),
    )


def metrics(counted: Counted, num_items: int) -> ArmMetrics:
    """What one arm's recommendations were like.

    Args:
        counted: of the arm.
        num_items: items that could be recommended.
    """
    counts = counted.counts
    rates = {name: _body(rate) for name, rate in _fallbacks(counted).items()}
    return ArmMetrics(
        recommendations=counts.get("answers", 0),
        users=counted.users,
        coverage=Coverage(
            items=counted.items, share=min(1.0, counted.items / num_items) if num_items else 0.0
        ),
        **rates,
        click_through=[
            ClickThrough(k=k, **dict(_body(_click_through(counted, k)))) for k in (*_CUTS, None)
        ],
        conversions=[
            Conversion(type=name, events=counts[f"events:{name}"], **dict(_body(rate)))
            for name, rate in _conversions(counted).items()
        ],
    )


def _differences(experiment: Experiment, counts: list[Counted]) -> Iterator[DifferenceBody]:
    """Of every arm from the first, in every rate that both have."""
    base = _rates(counts[0])
    for arm, counted in zip(experiment.arms[1:], counts[1:], strict=True):
        for metric, rate in _rates(counted).items():
            apart = difference(rate, base.get(metric, Rate(0, counts[0].counts.get("answers", 0))))
            if apart is not None:
                yield DifferenceBody(
                    metric=metric,
                    arm=arm.name,
                    against=experiment.arms[0].name,
                    value=apart.value,
                    low=apart.low,
                    high=apart.high,
                    significant=apart.significant,
                )


def _rates(counted: Counted) -> dict[str, Rate]:
    shown = {f"click_through@{k}": _click_through(counted, k) for k in _CUTS}
    converted = {f"conversion:{name}": rate for name, rate in _conversions(counted).items()}
    return {
        **_fallbacks(counted),
        **shown,
        "click_through": _click_through(counted, None),
        **converted,
    }


def _fallbacks(counted: Counted) -> dict[str, Rate]:
    answers = counted.counts.get("answers", 0)
    return {name: Rate(counted.counts.get(name, 0), answers) for name in _FALLBACKS}


def _click_through(counted: Counted, k: int | None) -> Rate:
    return Rate(_until(counted, "clicked", k), _until(counted, "shown", k))


def _conversions(counted: Counted) -> dict[str, Rate]:
    counts, prefix = counted.counts, "converted:"
    # Recommendations that a killed worker made are not among the answers.
    answers = counts.get("answers", 0)
    return {
        name.removeprefix(prefix): Rate(count, max(count, answers))
        for name, count in sorted(counts.items())
        if name.startswith(prefix)
    }


def _until(counted: Counted, what: str, k: int | None) -> int:
    """The sum over the first `k` places, or over all of them and the unknown ones."""
    places = {
        int(name.rpartition(":")[2]): count
        for name, count in counted.counts.items()
        if name.startswith(f"{what}:")
    }
    return sum(count for place, count in places.items() if k is None or 1 <= place <= k)


def _body(rate: Rate) -> RateBody:
    low, high = rate.interval or (None, None)
    return RateBody(count=rate.count, of=rate.of, rate=rate.value, low=low, high=high)

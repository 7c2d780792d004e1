"""Who is in which arm, and when two arms count as different: properties, and values by hand."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.experiments.arms import Running, place_of
from service.experiments.definition import Experiment
from service.experiments.statistics import Rate, difference

SHARES = [(0.5, 0.5), (0.1, 0.1), (0.2, 0.3, 0.4)]


def running(*shares: float, name: str = "try") -> Running:
    arms = [{"name": f"arm{n}", "share": share} for n, share in enumerate(shares)]
    moment = "2026-01-31T00:00:00Z"
    return Running(
        Experiment(name=name, number=1, arms=arms, started_at=moment, counted_from=moment)
    )


def indices(experiment: Running, units: list[str]) -> np.ndarray:
    """The arm of each unit; -1 outside."""
    arms = [experiment.arm_of(unit) for unit in units]
    return np.array([-1 if arm is None else arm.index for arm in arms])


def tolerance(share: float, count: int) -> float:
    """Passed by chance once in 15 million times."""
    return 5.4 * (share * (1 - share) / count) ** 0.5


@pytest.mark.parametrize("shares", SHARES)
@pytest.mark.parametrize("name", ["try", "layout-2"])
def test_arms_have_their_shares_within_binomial_bounds(shares, name):
    found = indices(running(*shares, name=name), [f"user-{n}" for n in range(20_000)])
    for index, share in enumerate(shares):
        assert np.mean(found == index) == pytest.approx(share, abs=tolerance(share, 20_000))


def test_arms_of_two_experiments_are_independent():
    units = [f"user-{n}" for n in range(20_000)]
    one, other = (indices(running(0.5, 0.5, name=name), units) for name in ("one", "other"))
    assert np.mean(one == other) == pytest.approx(0.5, abs=tolerance(0.5, 20_000))


@given(st.text(max_size=64), st.text(max_size=256))
def test_any_id_has_one_place_and_one_arm(name, unit):
    place = place_of(name, unit)
    assert 0 <= place < 1
    assert place == place_of(name, unit)
    assert running(0.5, 0.5).arm_of(unit) is not None


def test_places_are_the_same_in_every_process_and_release():
    assert place_of("try", "u1") == pytest.approx(0.20942964766721772, abs=1e-12)


def test_the_interval_of_a_rate_is_wilsons():
    # 10 of 100 at 95 %: 0.05523 to 0.17437.
    assert Rate(10, 100).interval == pytest.approx((0.05523, 0.17437), abs=1e-5)
    assert Rate(0, 10).interval == pytest.approx((0.0, 0.27754), abs=1e-5)
    assert (Rate(0, 0).value, Rate(0, 0).interval) == (None, None)


def test_the_interval_of_a_difference_is_newcombes():
    # Newcombe (1998), table II, method 10: 56/70 - 48/80 = 0.2, 0.0524 to 0.3339.
    apart = difference(Rate(56, 70), Rate(48, 80))
    assert (apart.value, apart.low, apart.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    assert apart.significant
    assert difference(Rate(1, 2), Rate(0, 0)) is None


@given(st.data())
def test_intervals_hold_their_rate_and_lie_within_0_and_1(data):
    of = data.draw(st.integers(1, 10**9))
    rate = Rate(data.draw(st.integers(0, of)), of)
    low, high = rate.interval
    assert 0 <= low <= rate.value <= high <= 1
    apart = difference(rate, rate)
    assert apart.low <= 0 <= apart.high


def test_arms_of_equal_treatment_do_not_differ_beyond_chance():
    """2,000 users click with one probability; some 20 of 400 experiments see a difference."""
    units = [f"user-{n}" for n in range(2_000)]
    rng = np.random.default_rng(7)
    significant = 0
    for number in range(400):
        arms = indices(running(0.5, 0.5, name=f"aa-{number}"), units)
        clicked = rng.random(len(units)) < 0.1
        rates = [Rate(int(clicked[arms == arm].sum()), int((arms == arm).sum())) for arm in (0, 1)]
        significant += difference(*rates).significant
    # Binomial(400, 0.05) lies below 42 but once in a million times.
    assert 3 <= significant <= 42


def test_arms_of_different_treatment_do_differ():
    units = [f"user-{n}" for n in range(20_000)]
    arms = indices(running(0.5, 0.5), units)
    clicked = np.random.default_rng(7).random(len(units)) < np.where(arms == 0, 0.1, 0.12)
    rates = [Rate(int(clicked[arms == arm].sum()), int((arms == arm).sum())) for arm in (0, 1)]
    apart = difference(rates[1], rates[0])
    assert apart.significant
    assert apart.low < 0.02 < apart.high


def test_the_confidence_is_95_percent():
    assert Rate(500, 1000).interval[1] - 0.5 == pytest.approx(
        NormalDist().inv_cdf(0.975) * (0.25 / 1000) ** 0.5, rel=0.01
    )

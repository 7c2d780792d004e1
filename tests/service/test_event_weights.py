import pytest

from service.errors import ArtifactCorrupt
from service.event_weights import EventWeight, read_event_weight, weight_of

DAY_MS = 86_400_000


def test_an_event_counts_half_after_its_half_life():
    weight = EventWeight(2.0, half_life_days=10.0)
    ages = (0, 10 * DAY_MS, 30 * DAY_MS)
    assert [weight.at_age(age) for age in ages] == [2.0, 1.0, 0.25]


def test_an_event_without_half_life_never_fades():
    assert EventWeight(0.5).at_age(10_000 * DAY_MS) == 0.5


def test_an_event_slightly_in_the_future_counts_as_new():
    assert EventWeight(1.0, half_life_days=1.0).at_age(-DAY_MS) == 1.0


def test_the_strongest_event_of_an_item_counts_and_others_do_not_add():
    weights = {"view": EventWeight(0.5), "buy": EventWeight(1.0, half_life_days=1.0)}
    assert weight_of({"view": 0, "buy": 0}, weights, now_ms=0) == 1.0
    assert weight_of({"view": 0, "buy": 0}, weights, now_ms=2 * DAY_MS) == 0.5


def test_a_type_the_catalog_does_not_name_counts_one():
    assert weight_of({"other": 0}, {"view": EventWeight(0.5)}, now_ms=0) == 1.0


@pytest.mark.parametrize(
    "settings",
    [{"weight": -1.0}, {"weight": "1"}, {"weight": True}, {"half_life_days": 0}],
)
def test_weights_that_make_no_sense_are_refused(settings):
    with pytest.raises(ArtifactCorrupt, match=r"event type 'view' has (weight|half_life_days)"):
        read_event_weight("event type 'view'", settings)

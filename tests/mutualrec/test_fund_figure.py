from dataclasses import replace

import pytest

from mutualrec.fund_report.case import Case, DomainShare, Held, Recommended
from mutualrec.fund_report.figure import BOX_WIDTH, MAX_LANES, WIDTH, fitted, lay_out
from mutualrec.fund_report.page import render


def make_case(num_domains: int, num_held: int, k: int = 20) -> Case:
    """A fund with as many holdings in every domain."""
    domains = [f"Domain of a very long name, number {number}" for number in range(num_domains)]
    held = [
        Held(f"h{d}-{n}", "Wide Worldwide Mining Company " * 3, domains[d], 0.9 / num_held, n > 0)
        for d in range(num_domains)
        for n in range(num_held)
    ]
    recommended = [
        Recommended(
            f"r{n}",
            "MAMMOTH " * 9,
            domains[n % num_domains],
            n + 1,
            n % 3 == 0,
            "2025Q1",
            0.01,
            True,
            3,
            ("because",),
        )
        for n in range(k)
    ]
    shares = [
        DomainShare(d, (num_domains - n) / 500, 0.1, num_held, 2, k // num_domains, 1)
        for n, d in enumerate(domains)
    ]
    return Case(
        *("f", "A FUND OF A LONG NAME " * 4, None, "2024Q4", "2025-02-14", ("2025Q1",), 3.2e9, 4),
        *(900, 1, "sector", tuple(recommended), tuple(held), (), tuple(shares)),
        *(("bpr (weight 1)",), "v1", "No advice."),
    )


@pytest.mark.parametrize(("num_domains", "num_held"), [(1, 1), (3, 4), (11, 40), (60, 30)])
def test_nothing_in_the_figure_overlaps_or_leaves_it(num_domains, num_held):
    figure = lay_out(make_case(num_domains, num_held))
    assert len(figure.lanes) <= MAX_LANES
    assert len(figure.lanes) == min(num_domains, MAX_LANES)
    marks = [int(box.mark) for lane in figure.lanes for box in lane.boxes if box.mark]
    assert sorted(marks) == list(range(1, 21))
    assert [lane.top for lane in figure.lanes[1:]] == [
        lane.top + lane.height for lane in figure.lanes[:-1]
    ]
    for lane in figure.lanes:
        places = [(box.x, box.y) for box in lane.boxes]
        assert len(set(places)) == len(places)
        assert all(x >= 0 and x + BOX_WIDTH <= WIDTH for x, _ in places)
        assert all(lane.top < y and y + 28 < lane.top + lane.height for _, y in places)
    assert figure.lanes[-1].top + figure.lanes[-1].height == figure.height


def test_lesser_domains_share_the_last_lane():
    lanes = lay_out(make_case(60, 30)).lanes
    assert lanes[-1].name == "47 others"
    assert "47 others: " in lanes[-1].title
    assert "1410 held, 7 recommended" in lanes[-1].title


def test_few_holdings_are_all_drawn_and_many_are_summed_up():
    few = [box for lane in lay_out(make_case(3, 12)).lanes for box in lane.boxes]
    assert sum(box.kind == "held" for box in few) == 36
    many = [box for lane in lay_out(make_case(3, 40)).lanes for box in lane.boxes]
    assert [box.text for box in many if box.kind == "more"] == ["and 35 more held"] * 3


def test_long_names_end_in_an_ellipsis_and_short_ones_stay():
    assert fitted("Intel Corp", 120) == "Intel Corp"
    shortened = fitted("Taiwan Semiconductor Manufacturing", 120)
    assert shortened.endswith("…")
    assert len(shortened) < 25


def test_a_case_without_anything_is_still_a_page():
    empty = replace(make_case(1, 1), recommended=(), held=(), domains=())
    assert "<svg" in render(empty)

"""Where everything in the figure of a report lies: lanes of domains with boxes of companies.

The figure is the case study of GNNMR's paper (Fig. 5) for one fund: the fund, its domains, and in
each the recommended companies, with a solid frame where the fund entered them and a dashed one
where it did not, beside those it held. Lengths are in units of the SVG's view box.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mutualrec.fund_report.case import Case, DomainShare, Held, Recommended, percent

WIDTH = 1080
FONT_SIZE = 12
BOX_WIDTH, BOX_HEIGHT, GAP = 197, 28, 8
BOXES_LEFT = 473
DOMAIN_LEFT, DOMAIN_WIDTH = 232, 204
FUND_WIDTH, FUND_HEIGHT = 150, 74
NUM_COLUMNS = 3

MAX_LANES = 14
_ALL_HELD = 36
_MAX_HELD_PER_LANE = 6
_LANE_PADDING = 11
_MIN_LANE = 58
_BOLD = 1.13
_THINNEST, _THICKEST = 1.5, 16.0

Kind = Literal["hit", "miss", "held", "more"]


@dataclass(frozen=True)
class Box:
    """A company; `title` is what is read to those who cannot see it, or ask for more."""

    kind: Kind
    x: float
    y: float
    mark: str
    text: str
    note: str
    title: str


@dataclass(frozen=True)
class Lane:
    """A domain. `stroke` is the width of the line from the fund: its part of the portfolio."""

    name: str
    note: str
    title: str
    top: float
    height: float
    stroke: float
    is_new: bool
    boxes: tuple[Box, ...]

    @property
    def middle(self) -> float:
        """Where the line from the fund ends."""
        return self.top + self.height / 2


@dataclass(frozen=True)
class Figure:
    """All lanes, top to bottom."""

    lanes: tuple[Lane, ...]
    height: float


def lay_out(case: Case) -> Figure:
    """Place everything; where there are too many domains, the last lane has the lesser ones."""
    few = len(case.held) <= _ALL_HELD
    lanes, top = [], 0.0
    for domains in _grouped(case.domains):
        lane = _lane(case, domains, top, few=few)
        lanes.append(lane)
        top += lane.height
    return Figure(tuple(lanes), max(top, float(FUND_HEIGHT)))


def fitted(text: str, width: float) -> str:
    """The text, or as much of its beginning as fits into a width at `FONT_SIZE`."""
    if _width(text) <= width:
        return text
    kept = text
    while kept and _width(kept + "…") > width:
        kept = kept[:-1]
    return kept.rstrip(" ,.-") + "…"


def _grouped(domains: Sequence[DomainShare]) -> list[list[DomainShare]]:
    """The domains of every lane: those with the most recommendations, then those held most."""
    present = [domain for domain in domains if domain.num_recommended or domain.num_before]
    order = sorted(present, key=lambda one: (-one.num_recommended, -one.before))
    if len(order) > MAX_LANES:
        order = order[: MAX_LANES - 1]
    others = [domain for domain in present if domain not in order]
    alone = [[domain] for domain in present if domain in order]
    return [*alone, others] if others else alone


def _lane(case: Case, domains: Sequence[DomainShare], top: float, *, few: bool) -> Lane:
    values = {domain.domain for domain in domains}
    recommended = [one for one in case.recommended if one.domain in values]
    held = [one for one in case.held if one.domain in values]
    room = len(held) if few or len(held) <= _MAX_HELD_PER_LANE else _MAX_HELD_PER_LANE - 1
    rows = -(-len(recommended) // NUM_COLUMNS)
    num_held = room + (len(held) > room)
    num_rows = rows + -(-num_held // NUM_COLUMNS)
    boxes_height = num_rows * (BOX_HEIGHT + GAP) - GAP
    height = max(_MIN_LANE, boxes_height + 2 * _LANE_PADDING)
    start = top + (height - boxes_height) / 2
    boxes = [_recommended_box(one, number, start) for number, one in enumerate(recommended)]
    start += rows * (BOX_HEIGHT + GAP)
    boxes += [_held_box(one, number, start) for number, one in enumerate(held[:room])]
    if len(held) > room:
        boxes.append(_rest_box(held[room:], room, start))
    name = (domains[0].domain or "unknown") if len(domains) == 1 else f"{len(domains)} others"
    share = sum(one.share for one in held)
    counted = f"{len(held)} held" if held else "none held"
    return Lane(
        name=fitted(name, (DOMAIN_WIDTH - 24) / _BOLD),
        note=f"{percent(share)} · {counted}" if held else counted,
        title=f"{name}: {percent(share)} of the portfolio, {counted}, "
        f"{len(recommended)} recommended, {sum(one.hit for one in recommended)} of them entered",
        top=top,
        height=height,
        stroke=_THINNEST + (_THICKEST - _THINNEST) * min(1.0, share),
        is_new=not held,
        boxes=tuple(boxes),
    )


def _rest_box(rest: Sequence[Held], number: int, start: float) -> Box:
    x, y = _place(number, start)
    share = percent(sum(one.share for one in rest))
    text = f"and {len(rest)} more held"
    return Box("more", x, y, "", text, share, f"{text}, {share} of the portfolio")


def _recommended_box(company: Recommended, number: int, start: float) -> Box:
    x, y = _place(number, start)
    what = f"entered in {company.bought}" if company.hit else "not entered"
    before = ", held before" if company.formerly_held else ""
    # A hit has a tick at its end, and its name is bold.
    room = (BOX_WIDTH - 62) / _BOLD if company.hit else BOX_WIDTH - 38
    return Box(
        kind="hit" if company.hit else "miss",
        x=x,
        y=y,
        mark=str(company.rank),
        text=fitted(company.name, room),
        note="",
        title=f"Recommended at {company.rank}: {company.name}, {what}{before}",
    )


def _held_box(company: Held, number: int, start: float) -> Box:
    x, y = _place(number, start)
    note = percent(company.share) + ("" if company.kept else " · sold")
    kept = "kept" if company.kept else "sold afterwards"
    return Box(
        kind="held",
        x=x,
        y=y,
        mark="",
        text=fitted(company.name, BOX_WIDTH - 28 - _width(note)),
        note=note,
        title=f"Held: {company.name}, {percent(company.share)} of the portfolio, {kept}",
    )


def _place(number: int, start: float) -> tuple[float, float]:
    row, column = divmod(number, NUM_COLUMNS)
    return BOXES_LEFT + column * (BOX_WIDTH + GAP), start + row * (BOX_HEIGHT + GAP)


def _width(text: str) -> float:
    """About how wide a text is in a common sans-serif font; rather too wide than too narrow."""
    return sum(_EM.get(char, 0.72 if char.isupper() else 0.58) for char in text) * FONT_SIZE


_EM = {
    **dict.fromkeys("iljI.,:;'|!·", 0.3),
    **dict.fromkeys("tfr-() /\u00a0", 0.38),
    **dict.fromkeys("mwMW@%…", 0.9),
}

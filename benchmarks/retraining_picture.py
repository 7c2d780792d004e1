"""The picture of the replay with and without retraining, drawn from its rows only."""

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.pictures import COLOURS, PICTURES, STYLE, Row, errors_of, value_of
from training.files import replacing

BENCHMARK = "retraining-replay"
METRIC = "recall@20"
WAYS = ("retrained", "never retrained")
PICTURE = PICTURES / f"{BENCHMARK}.svg"
_STEP = re.compile(r"step (\d+): (.*)")


def step_setting(number: int, way: str) -> str:
    """Return the setting of the row of one step."""
    return f"step {number}: {way}"


def draw_replay(rows: Sequence[Row], path: Path = PICTURE) -> None:
    """Draw the recall of every step, a line per way."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.0, 3.2), layout="constrained")
        FigureCanvasSVG(figure)
        panel = figure.subplots()
        for way, colour, aside in zip(WAYS, COLOURS, (-0.06, 0.06), strict=False):
            points = sorted(
                (int(match[1]), row)
                for row in rows
                if (match := _STEP.fullmatch(str(row["setting"]))) and match[2] == way
            )
            found = [row for _, row in points]
            panel.errorbar(
                [number + aside for number, _ in points],  # bars beside each other
                [value_of(row) for row in found],
                yerr=errors_of(found),
                marker="o",
                capsize=2,
                color=colour,
                label=way,
            )
        panel.set_xlabel("step, each recommended for before its events are sent")
        panel.set_ylabel(METRIC)
        panel.set_title(", ".join(sorted({f"{row['dataset']}, {row['model']}" for row in rows})))
        panel.legend()
        with replacing(path) as draft:
            figure.savefig(draft, format="svg", metadata={"Date": None})

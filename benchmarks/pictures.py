"""The pictures of the benchmarks page, drawn from result rows only."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.experiment import Experiment, Variant
from training.files import replacing

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
METRIC = "recall@20"
COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280", "#4a5568")
PUBLISHED = "#1a202c"
# The same rows give the same bytes: no random ids, no date.
STYLE: Any = {  # matplotlib names every setting in the type it asks for
    "svg.hashsalt": "mutualrec",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e2e8f0",
    "axes.axisbelow": True,
}

Row = Mapping[str, object]


def picture_path(experiment: Experiment) -> Path:
    """Return where the picture of an experiment lies."""
    return PICTURES / f"{experiment.name}.svg"


def draw(experiment: Experiment, rows: Sequence[Row], path: Path) -> None:
    """Draw an experiment's Recall@20, a panel per dataset, published figures as diamonds."""
    measured = {
        (str(row["dataset"]), str(row["setting"])): row for row in rows if row["metric"] == METRIC
    }
    present = {dataset for dataset, _ in measured}
    datasets = [name for name in experiment.datasets if name in present]
    if not datasets:
        return
    curve = experiment.picture == "curve"
    lines = max(sum(name == dataset for name, _ in measured) for dataset in datasets)
    height = 3.2 if curve else 1.0 + 0.24 * max(lines, 4)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * len(datasets) + 1.4, height), layout="constrained")
        FigureCanvasSVG(figure)
        panels = figure.subplots(1, len(datasets), squeeze=False)[0]
        for panel, dataset in zip(panels, datasets, strict=True):
            (_curves if curve else _bars)(panel, experiment, dataset, measured)
            panel.set_title(dataset)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as draft:
            figure.savefig(draft, format="svg", metadata={"Date": None})


def _bars(
    panel: Axes, experiment: Experiment, dataset: str, measured: Mapping[tuple[str, str], Row]
) -> None:
    labels = [v.label for v in experiment.variants_on(dataset)]
    labels += [ensemble.label for ensemble in experiment.ensembles]
    labels = [label for label in labels if (dataset, label) in measured]
    series = {variant.label: variant.series for variant in experiment.variants}
    colours = dict(zip(dict.fromkeys(series.values()), COLOURS, strict=False))
    named: set[str] = set()
    for place, label in enumerate(labels):
        row, group = measured[dataset, label], series.get(label, "")
        panel.barh(
            *(place, value_of(row)),
            xerr=errors_of([row]),
            color=colours.get(group, COLOURS[-1]),
            height=0.7,
            label="" if group in named else group,
        )
        named.add(group)
    published = _published(experiment, dataset)
    known = [(published[label], at) for at, label in enumerate(labels) if label in published]
    if known:
        panel.plot(*zip(*known, strict=True), "D", color=PUBLISHED, ms=4, label="published")
    if known or named - {""}:
        panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    panel.set_yticks(range(len(labels)), labels)
    panel.invert_yaxis()
    panel.set_xlabel(METRIC)


def _curves(
    panel: Axes, experiment: Experiment, dataset: str, measured: Mapping[tuple[str, str], Row]
) -> None:
    variants = [v for v in experiment.variants_on(dataset) if v.x is not None]
    published = _published(experiment, dataset)
    for colour, series in zip(COLOURS, dict.fromkeys(v.series for v in variants), strict=False):
        points = sorted((v for v in variants if v.series == series), key=_x)
        known = [v for v in points if (dataset, v.label) in measured]
        rows = [measured[dataset, v.label] for v in known]
        panel.errorbar(
            [_x(v) for v in known],
            [value_of(row) for row in rows],
            yerr=errors_of(rows),
            marker="o",
            capsize=2,
            color=colour,
            label=series or "measured",
        )
        cited = [v for v in points if v.label in published]
        if cited:
            panel.plot(
                [_x(v) for v in cited],
                [published[v.label] for v in cited],
                *("D--",),
                color=colour,
                alpha=0.5,
                ms=4,
                label=f"{series} published".strip(),
            )
    if experiment.log_x:
        panel.set_xscale("log")
    panel.set_xlabel(experiment.x_label)
    panel.set_ylabel(METRIC)
    panel.legend()


def _published(experiment: Experiment, dataset: str) -> dict[str, float]:
    """Return the published Recall@20 by label, if it is of this dataset."""
    if experiment.published_on != dataset:
        return {}
    return {v.label: v.published[METRIC] for v in experiment.variants if METRIC in v.published}


def _x(variant: Variant) -> float:
    assert variant.x is not None
    return variant.x


def value_of(row: Row) -> float:
    """Return the value of a row."""
    return float(cast(float, row["value"]))


def errors_of(rows: Sequence[Row]) -> list[list[float]]:
    """Distances from the value down to `low` and up to `high`, [2, rows]; 0 without a spread."""
    below = [value_of(row) - float(cast(float, _or_value(row, "low"))) for row in rows]
    above = [float(cast(float, _or_value(row, "high"))) - value_of(row) for row in rows]
    return [[max(x, 0.0) for x in below], [max(x, 0.0) for x in above]]


def _or_value(row: Row, name: str) -> object:
    return row["value"] if row[name] is None else row[name]

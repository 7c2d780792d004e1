"""Write `docs/benchmarks.md` and its pictures from `benchmarks/results/`.

python -m benchmarks.tables
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.experiment import EnsembleVariant, Experiment, Variant, read_experiments
from benchmarks.measured import CHANNEL_METRICS, change_metric, channel_setting
from benchmarks.pictures import draw, picture_path
from benchmarks.retraining_picture import draw_replay
from benchmarks.rows import RESULTS, taking_turns
from training.files import replace_text

BENCHMARKS_PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
TEXT = Path(__file__).parent / "benchmarks.template.md"
DASH = "-"

Row = dict[str, object]
Lookup = dict[tuple[str, str, str], Row]
"""Rows by dataset, setting and metric."""


def render() -> str:
    """Return the page: the template's text with the tables in their places."""
    experiments = read_experiments()
    text = TEXT.read_text(encoding="utf-8")
    sections = [_section(experiment) for experiment in _in_order(experiments.values())]
    text = text.replace("{{experiments}}", "\n\n".join(sections))
    return text.replace("{{others}}", _others(experiments.keys()))


def _in_order(experiments: Iterable[Experiment]) -> list[Experiment]:
    groups = ["overall", "gnnmr", "mgnm", "micro", "ckd"]

    def place(experiment: Experiment) -> tuple[int, str]:
        group = experiment.group
        return (groups.index(group) if group in groups else len(groups)), experiment.name

    return sorted(experiments, key=place)


def _section(experiment: Experiment) -> str:
    rows = lookup(read_rows(experiment.name))
    parts = [f"### {experiment.title}", experiment.text.strip()]
    if experiment.source:
        parts.append(f"Published figures: {experiment.source.strip()}")
    measured = [name for name in experiment.datasets if any(key[0] == name for key in rows)]
    for dataset in measured:
        parts.append(f"Measured on {dataset}:")
        parts.append(_figures(experiment, dataset, rows))
        if experiment.channels:
            parts.append(_channels(experiment, dataset, rows))
    missing = [name for name in experiment.datasets if name not in measured]
    if missing:
        parts.append(
            f"Not measured yet on {', '.join(missing)}: `mutualrec benchmark {experiment.name}`."
        )
    if measured:
        parts.append(_origin(rows))
    if measured and experiment.picture != "none":
        parts.append(f"![{experiment.title}](pictures/{picture_path(experiment).name})")
    return "\n\n".join(part for part in parts if part)


def _figures(experiment: Experiment, dataset: str, rows: Lookup) -> str:
    """Return the table of a dataset: measured beside published."""
    variants = experiment.variants_on(dataset)
    published = [m for m in experiment.metrics if any(m in v.published for v in variants)]
    if not _has_published(experiment, dataset):
        published = []
    changes = any(_change(variant, dataset, rows) for variant in variants)
    header = ["variant", *experiment.metrics]
    header += [f"published {metric}{_elsewhere(experiment)}" for metric in published]
    header += ["change of recall@20 in %"] if changes else []
    lines = []
    subjects: list[Variant | EnsembleVariant] = [*variants, *experiment.ensembles]
    for subject in subjects:
        found = [rows.get((dataset, subject.label, metric)) for metric in experiment.metrics]
        line = [subject.label, *(with_spread(row) for row in found)]
        figures = subject.published if isinstance(subject, Variant) else {}
        line += [f"{figures[m]:.4f}" if m in figures else "" for m in published]
        if changes:
            change = _change(subject, dataset, rows) if isinstance(subject, Variant) else None
            line.append("" if change is None else f"{with_spread(change, 1)} over {subject.over}")  # type: ignore[union-attr]
        lines.append([*line, _seeds(found)])
    return table([*header, "seeds"], lines)


def _channels(experiment: Experiment, dataset: str, rows: Lookup) -> str:
    """Return the table of what every modality alone reaches."""
    modalities = sorted(
        {
            setting.removeprefix(variant.label + ", only ").removesuffix(" kept")
            for variant in experiment.variants_on(dataset)
            for place, setting, _ in rows
            if place == dataset and setting.startswith(f"{variant.label}, only ")
        }
    )
    if not modalities:
        return ""
    beside = _has_published(experiment, dataset)
    lines = []
    for variant in experiment.variants_on(dataset):
        for modality in modalities:
            setting = channel_setting(variant.label, modality)
            found = [rows.get((dataset, setting, metric)) for metric in CHANNEL_METRICS]
            if not any(found):
                continue
            figure = variant.channels.get(modality, {}).get("recall@20")
            shown = f"{figure:.4f}" if beside and figure is not None else ""
            lines.append([variant.label, modality, *(with_spread(row) for row in found), shown])
    header = ("variant", "modality kept", *CHANNEL_METRICS)
    return table([*header, f"published recall@20{_elsewhere(experiment)}"], lines)


def _change(variant: Variant, dataset: str, rows: Lookup) -> Row | None:
    setting = f"{variant.label} over {variant.over}"
    return rows.get((dataset, setting, change_metric(variant)))


def _has_published(experiment: Experiment, dataset: str) -> bool:
    """Published figures stand beside their own dataset, or everywhere if it is none of these."""
    return experiment.published_on == dataset or experiment.published_on not in experiment.datasets


def _elsewhere(experiment: Experiment) -> str:
    if experiment.published_on in experiment.datasets:
        return ""
    return f" on {experiment.published_on}"


def _origin(rows: Lookup) -> str:
    commands = sorted({str(row["command"]) for row in rows.values()})
    # A row of several seeds names the commits of all.
    commits = sorted({one for row in rows.values() for one in str(row["commit"]).split(", ")})
    shown = ", ".join(f"`{command}`" for command in commands)
    return f"Made by {shown} at {', '.join(commits)}."


def _seeds(found: Sequence[Row | None]) -> str:
    seeds = next((row["seeds"] for row in found if row is not None), [])
    assert isinstance(seeds, list)
    return ", ".join(map(str, seeds))


def _others(experiments: Iterable[str]) -> str:
    lines = [
        (
            str(row["benchmark"]),
            str(row["dataset"]),
            str(row["model"]),
            str(row["metric"]),
            with_spread(row, digits=3),
            str(row["setting"]),
            f"`{row['command']}`",
            str(row["commit"]),
        )
        for path in sorted(RESULTS.glob("*.json"))
        if path.stem not in set(experiments)
        for row in read_rows(path.stem)
    ]
    header = (
        *("benchmark", "dataset", "model", "metric", "value (low to high)", "setting"),
        *("command", "commit"),
    )
    return table(header, lines)


def read_rows(name: str, results: Path = RESULTS) -> list[Row]:
    """Return the rows of a results file; none when there is no file."""
    path = results / f"{name}.json"
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return rows


def lookup(rows: Iterable[Row]) -> Lookup:
    """Return rows by dataset, setting and metric."""
    return {(str(r["dataset"]), str(r["setting"]), str(r["metric"])): r for r in rows}


def number(value: object) -> float:
    """Return a figure of a row."""
    assert isinstance(value, int | float)
    return float(value)


def with_spread(row: Row | None, digits: int = 4) -> str:
    """Return `value (low to high)`, a dash for what was not measured."""
    if row is None:
        return DASH
    value, low, high = (row[name] for name in ("value", "low", "high"))
    shown = f"{number(value):.{digits}f}"
    if low is None or high is None or low == high:
        return shown
    return f"{shown} ({number(low):.{digits}f} to {number(high):.{digits}f})"


def table(header: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    header = list(header)
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def write_page() -> None:
    """Write the page and the pictures of the experiments that have rows."""
    with taking_turns(RESULTS):
        for experiment in read_experiments().values():
            rows = read_rows(experiment.name)
            if rows and experiment.picture != "none":
                draw(experiment, rows, picture_path(experiment))
        replayed = read_rows("retraining_replay")
        if replayed:
            draw_replay(replayed)
        replace_text(BENCHMARKS_PAGE, render())


if __name__ == "__main__":
    write_page()

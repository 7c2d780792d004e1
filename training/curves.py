"""The picture of a training run."""

from pathlib import Path
from typing import cast

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.files import replacing


def draw_curves(reports: list[dict[str, object]], metric: str, path: Path) -> None:
    """Draw loss terms and the validation metric over epochs into a PNG file."""
    # A figure of its own, not pyplot's: nothing global, nothing left open.
    figure = Figure(figsize=(9, 3.2))
    FigureCanvasAgg(figure)
    # Margins that are given: looking for them takes as long as drawing all the rest.
    margins = {"left": 0.08, "right": 0.98, "bottom": 0.16, "top": 0.96, "wspace": 0.22}
    losses, metrics = figure.subplots(1, 2, gridspec_kw=margins)
    names = sorted({name for report in reports for name in cast(dict[str, float], report["terms"])})
    for name in names:
        epochs = [cast(int, r["epoch"]) for r in reports]
        losses.plot(
            epochs, [cast(dict[str, float], r["terms"]).get(name) for r in reports], label=name
        )
    losses.set(xlabel="epoch", ylabel="loss term", yscale="log")
    if names:
        losses.legend()
    measured = [r for r in reports if r["metrics"]]
    metrics.plot(
        [cast(int, r["epoch"]) for r in measured],
        [cast(dict[str, float], r["metrics"])[metric] for r in measured],
        marker=".",
    )
    metrics.set(xlabel="epoch", ylabel=f"validation {metric}")
    with replacing(path) as draft:
        figure.savefig(draft, dpi=110)

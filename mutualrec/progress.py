"""Progress of a training run on the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from training.trainer import EpochReport


class Reporter(Protocol):
    """Receives what each epoch did."""

    def __call__(self, report: "EpochReport", /) -> None:
        """Show the epoch."""


@contextmanager
def training_progress(name: str, max_epochs: int, metric: str) -> Iterator[Reporter]:
    """Show epoch, loss terms, the validation metric and the time left at most.

    Without a terminal, one line is printed per evaluated epoch instead of a bar.
    """
    console = Console()
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[terms]}"),
        TextColumn("[green]{task.fields[quality]}"),
        TextColumn("at most"),
        TimeRemainingColumn(),
    )
    quality, spent_s, epochs = "", 0.0, 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=max_epochs, terms="", quality="")

        def show(report: "EpochReport") -> None:
            nonlocal quality, spent_s, epochs
            epochs += 1
            spent_s += report.train_s + report.evaluate_s
            terms = " ".join(f"{term} {value:.4f}" for term, value in report.terms.items())
            if report.metrics:
                value = report.metrics[metric]
                quality = f"{metric} {value:.4f} (best {report.best:.4f})"
                if not console.is_terminal:
                    left_s = spent_s / epochs * (max_epochs - report.epoch - 1)
                    console.print(
                        f"{name} epoch {report.epoch + 1}: {terms} {quality},"
                        f" at most {left_s:.0f} s left",
                        soft_wrap=True,
                        highlight=False,
                    )
            progress.update(task, completed=report.epoch + 1, terms=terms, quality=quality)

        yield show

"""`mutualrec encode`: texts of items to vectors."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

commands = typer.Typer()


@commands.command()
def encode(
    folder: Annotated[Path, typer.Argument(help="Dataset folder.")],
    encoder: Annotated[
        Path, typer.Option(help="Folder with the encoder's model.onnx and tokenizer.json.")
    ],
    column: Annotated[str, typer.Option(help="Column of items.parquet with the texts.")],
    modality: Annotated[str, typer.Option(help="Name of the modality.")] = "text",
) -> None:
    """Encode texts of items as a modality that models learn from and new items can be given in."""
    from service.encoding.encoder import TextEncoder
    from training.data.encoding import encode_column

    loaded = TextEncoder.load(encoder)
    console = Console(soft_wrap=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"encoding {column}")

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        report = encode_column(folder, column, loaded, modality=modality, advance=advance)
    console.print(
        f"{folder}: {report.encoded} texts encoded as {modality!r}, {report.width} numbers each, "
        f"{report.missing} items have none",
        highlight=False,
    )

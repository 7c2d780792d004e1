"""Option types that several commands share, and reading of `name=value` settings."""

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from mutualrec.workspace import Workspace

Home = Annotated[
    Path,
    typer.Option(envvar="MUTUALREC_HOME", help="Folder of runs, artifacts, events and caches."),
]
Catalog = Annotated[str, typer.Option(help="Catalog: a dataset being served under a name.")]
DatasetFolder = Annotated[Path, typer.Argument(help="Dataset folder, as `import` writes it.")]

DEFAULT_HOME = Path("var")


def workspace(home: Path) -> Workspace:
    """Return the folders under `home`."""
    return Workspace(home)


def parse_settings(pairs: list[str]) -> dict[str, object]:
    """Read `name=value` pairs; values are TOML (`0.1`, `true`, `[1, 2]`), else plain text.

    Raises:
        typer.BadParameter: A pair has no name or no `=`.
    """
    settings: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f'"{pair}" is not name=value')
        settings[name.strip()] = _toml_value(text.strip())
    return settings


def device_named(name: str) -> str:
    """Return the device to train on; `auto` is CUDA where there is one.

    Raises:
        typer.BadParameter: There is no such device.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise typer.BadParameter("there is no CUDA device here; use --device cpu")
    if name not in ("cpu", "cuda"):
        raise typer.BadParameter(f'device is cpu, cuda or auto, got "{name}"')
    return name


def _toml_value(text: str) -> object:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    # A text with a line break could smuggle in further keys; then it is plain text as well.
    return parsed["value"] if set(parsed) == {"value"} else text

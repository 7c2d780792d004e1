"""Records and tensors that a command left for the next one; damage is an error that says so."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from training.errors import DataError
from training.files import replace_text

_T = TypeVar("_T")


def write_json(path: Path, value: object) -> None:
    """Write JSON in one step: the file is complete or not there."""
    replace_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object.

    Raises:
        DataError: The file is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(path, f"is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise _damaged(path, f"holds {type(value).__name__}, expected an object")
    return value


def read_record(path: Path, kind: type[_T]) -> _T:
    """Read a JSON object as a dataclass.

    Raises:
        DataError: The file is not JSON, or a field is missing or does not fit.
    """
    content = read_json(path)
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise _damaged(path, f"cannot be used ({faults})") from error


def load_tensors(path: Path, names: Collection[str]) -> dict[str, torch.Tensor]:
    """Read a safetensors file that must hold at least `names`, every value finite.

    Raises:
        DataError: The file is missing or damaged, lacks a tensor, or holds NaN or infinity.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, FileNotFoundError) as error:
        raise _damaged(path, f"cannot be read ({error})") from error
    missing = sorted(set(names) - tensors.keys())
    if missing:
        raise _damaged(path, f"lacks {', '.join(missing)}")
    _check_finite(path, tensors)
    return tensors


def _check_finite(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise _damaged(path, f"holds NaN or infinity in {name}")


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path} {what}; delete the folder {path.parent} and run its command again")

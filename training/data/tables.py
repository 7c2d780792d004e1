"""The files of a dataset folder as tables and arrays, before anything is checked."""

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.descriptor import Descriptor, EventType, ModalitySpec
from training.errors import FeatureMismatch, SchemaError


@dataclass(frozen=True)
class Neighbours:
    """Published nearest neighbours of every item in one modality.

    Attributes:
        indices: int64 [num_items, k], item rows; the item itself may be among them.
        similarities: float32 [num_items, k].
    """

    indices: NDArray[np.int64]
    similarities: NDArray[np.float32]


@dataclass(frozen=True)
class DatasetDraft:
    """What a dataset folder holds, as tables; input of `write_dataset`.

    Attributes:
        name: Name of the data set (letters, digits, ``.``, ``_``, ``-``).
        event_types: At least one event type by name.
        modalities: Modalities by name.
        interactions: Columns user_id and item_id (text), timestamp (int64 epoch ms or null), type
            (text), value (float32 or null) and optionally split (int8 0/1/2).
        items: Column item_id (text) and metadata columns; the order of rows is the order of
            every feature matrix.
        users: Column user_id (text) and others, or None.
        features: Per modality [num_items, d] of float32 (float16 and float64 are cast); a row
            of NaN = missing. Written to ``features/<modality>.npy``.
        neighbours: Published nearest neighbours per modality. A modality that names no file for
            them gets ``features/<modality>.neighbours.npz``.
    """

    name: str
    event_types: dict[str, EventType]
    modalities: dict[str, ModalitySpec]
    interactions: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame | None = None
    features: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    neighbours: dict[str, Neighbours] = field(default_factory=dict)


def feature_path(modality: str, spec: ModalitySpec) -> str:
    """Path of a modality's vectors inside the folder."""
    return spec.source if spec.kind == "dense" else f"features/{modality}.npy"


def read_table(path: Path) -> pl.DataFrame:
    """Read one Parquet file.

    Raises:
        SchemaError: It is missing or not Parquet.
    """
    if not path.exists():
        raise SchemaError(
            f"{path} is missing; a dataset folder needs it, run `mutualrec import ...` again"
        )
    try:
        return pl.read_parquet(path, glob=False, hive_partitioning=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SchemaError(f"{path} cannot be read as Parquet: {error}; write it again") from error


def read_features(folder: Path, descriptor: Descriptor) -> dict[str, NDArray[np.float32]]:
    """Read the vectors of every modality; text and image modalities may have none yet.

    Raises:
        FeatureMismatch: A dense modality's file is missing, or a file is not a plain array.
        SchemaError: ``features/`` holds vectors that dataset.toml does not name.
    """
    features: dict[str, NDArray[np.float32]] = {}
    for name, spec in descriptor.modalities.items():
        path = folder / feature_path(name, spec)
        if spec.kind == "categorical" or (spec.kind != "dense" and not path.exists()):
            continue
        if not path.exists():
            raise FeatureMismatch(
                f"{path} is missing, but dataset.toml names it in [modalities.{name}]; "
                "add the file or remove the modality"
            )
        features[name] = load_array(path)
    _refuse_strays(folder, descriptor)
    return features


# np.load's result has whatever dtype the file declares; validation checks it.
def load_array(path: Path) -> NDArray[Any]:
    """Read one ``.npy`` file without ever unpickling.

    Raises:
        FeatureMismatch: It is not a plain array file.
    """
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise FeatureMismatch(
            f"{path} cannot be read as an array: {error}; save it with numpy.save as float32"
        ) from error
    return array


def read_neighbours(folder: Path, descriptor: Descriptor) -> dict[str, Neighbours]:
    """Read published neighbours of the modalities that name a file for them.

    Raises:
        FeatureMismatch: The file is missing or lacks ``indices`` or ``similarities``.
    """
    found: dict[str, Neighbours] = {}
    for name, spec in descriptor.modalities.items():
        if spec.neighbours is None:
            continue
        path = folder / spec.neighbours
        try:
            with np.load(path, allow_pickle=False) as archive:
                indices, similarities = archive["indices"], archive["similarities"]
        except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
            raise FeatureMismatch(
                f"{path} cannot be read: {error}; it must hold the arrays indices and "
                f"similarities, or remove neighbours from [modalities.{name}]"
            ) from error
        found[name] = Neighbours(
            indices.astype(np.int64, copy=False), similarities.astype(np.float32, copy=False)
        )
    return found


def write_tables(folder: Path, draft: DatasetDraft) -> None:
    """Write every table and array of a checked draft into an empty folder."""
    draft.interactions.write_parquet(folder / "interactions.parquet")
    draft.items.write_parquet(folder / "items.parquet")
    if draft.users is not None:
        draft.users.write_parquet(folder / "users.parquet")
    for name, matrix in draft.features.items():
        path = folder / feature_path(name, draft.modalities[name])
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.asarray(matrix, dtype=np.float32), allow_pickle=False)
    for name, neighbours in draft.neighbours.items():
        path = folder / str(draft.modalities[name].neighbours)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, indices=neighbours.indices, similarities=neighbours.similarities)


def _refuse_strays(folder: Path, descriptor: Descriptor) -> None:
    known = {feature_path(name, spec) for name, spec in descriptor.modalities.items()}
    for path in sorted((folder / "features").glob("*.npy")):
        relative = path.relative_to(folder).as_posix()
        if relative not in known:
            raise SchemaError(
                f"{path} belongs to no modality of dataset.toml; add [modalities.{path.stem}] "
                "or remove the file"
            )

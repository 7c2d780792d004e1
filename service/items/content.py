"""Vectors for items that no training knows, from the known items that they resemble."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import JsonValue

from service.artifact import Artifact
from service.items.reach import reach_scale

NEIGHBOURS = 5
"""Nearest items per modality; chosen with ``benchmarks/cold_items.py``."""

_TINY = 1e-12
_SAMPLED = (32, 256)
_SAMPLED_CELLS = 1 << 26
_CHUNK_CELLS = 1 << 23

_scales: WeakKeyDictionary[Artifact, float] = WeakKeyDictionary()
_measuring = threading.Lock()


@dataclass(frozen=True, eq=False)
class Placed:
    """Where an item lies: its vector [D] float32, and its factors per block of factors."""

    vector: NDArray[np.float32]
    factors: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class _Neighbours:
    """Rows [n] of items, an item may come twice, and what each counts, [n] adding up to 1."""

    rows: NDArray[np.int64]
    shares: NDArray[np.float64]


class ContentGraph:
    """Joins new items to the trained ones of a version.

    Only items that someone had to do with are joined: what others are is not learned. The first
    one of a version measures `scale`, see `reach_scale`; a second or two with a million items.
    """

    def __init__(self, artifact: Artifact) -> None:
        """Reads the version's items if nobody did before."""
        self._artifact = artifact
        self._trained = artifact.popularity > 0
        with _measuring:
            scale = _scales.get(artifact)
            if scale is None:
                scale = _scales[artifact] = self._measured()
        self.scale = scale

    def place(
        self, features: Mapping[str, NDArray[np.float32]], metadata: Mapping[str, JsonValue]
    ) -> Placed | None:
        """The mean direction and mean length of the neighbours, block by block, times the scale.

        This is what models of item graphs do for items without interactions. In every modality the
        nearest items by cosine count by it, all modalities alike. An item without vectors has the
        items for neighbours that agree with most of its categories.

        Args:
            features: modality of the version to a vector of the modality's width.
            metadata: fields of the version's items.

        Returns:
            None where it resembles nothing.
        """
        nearest = [
            self._nearest(modality, _unit(vector)[None, :])[0]
            for modality, vector in features.items()
        ]
        neighbours = _joined(nearest) or self._agreeing(metadata)
        if neighbours is None:
            return None
        factors = {
            name: _mean(matrix[neighbours.rows], neighbours.shares)
            for name, matrix in self._artifact.factors.items()
        }
        return Placed(self._vector(neighbours) * np.float32(self.scale), factors)

    def _vector(self, neighbours: _Neighbours) -> NDArray[np.float32]:
        items = self._artifact.items[neighbours.rows]
        vector = np.zeros(items.shape[1], np.float32)
        for block in self._artifact.blocks:
            vector[block.columns] = _mean(items[:, block.columns], neighbours.shares)
        return vector

    def _measured(self) -> float:
        """The scale, from a sample of trained items: fewer where there are many."""
        rows = np.flatnonzero(self._trained)
        count = int(np.clip(_SAMPLED_CELLS // max(1, len(rows)), *_SAMPLED))
        sample = rows[:: max(1, len(rows) // count)][:count]
        if not len(sample) or not self._artifact.features:
            return 1.0
        left_out = np.zeros((len(sample), self._artifact.items.shape[1]), np.float32)
        step = max(1, _CHUNK_CELLS // len(self._trained))
        for start in range(0, len(sample), step):
            own = sample[start : start + step]
            of_modality = [
                self._nearest(modality, np.asarray(features[own]), own)
                for modality, features in self._artifact.features.items()
            ]
            for number, nearest in enumerate(zip(*of_modality, strict=True), start=start):
                neighbours = _joined(nearest)
                if neighbours is not None:
                    left_out[number] = self._vector(neighbours)
        return reach_scale(self._artifact, sample, left_out)

    def _nearest(
        self, modality: str, units: NDArray[np.float32], own: NDArray[np.int64] | None = None
    ) -> list[_Neighbours | None]:
        """The neighbours of every vector, None for a vector like no other.

        Args:
            modality: a modality of the version.
            units: [n, d] of length 1 or 0.
            own: [n] the row of every vector's item, which is no neighbour of its own.
        """
        cosines = units @ self._artifact.features[modality].T  # [n, I]
        cosines[:, ~self._trained] = 0.0
        if own is not None:
            cosines[np.arange(len(own)), own] = 0.0
        count = min(NEIGHBOURS, cosines.shape[1])
        found: list[_Neighbours | None] = []
        for of_item in cosines:
            rows = np.argpartition(-of_item, count - 1)[:count]
            similar = np.maximum(of_item[rows].astype(np.float64), 0.0)
            total = similar.sum()
            found.append(_Neighbours(rows, similar / total) if total > _TINY else None)
        return found

    def _agreeing(self, metadata: Mapping[str, JsonValue]) -> _Neighbours | None:
        """The items that agree in most of the category fields, all alike."""
        agreed = np.zeros(len(self._trained))
        table = self._artifact.item_metadata
        for name in self._artifact.manifest.category_fields:
            if table is None or name not in table.column_names or metadata.get(name) is None:
                continue
            column = pc.cast(table.column(name), "string")
            equal = pc.fill_null(pc.equal(column, str(metadata[name])), False)
            agreed += equal.to_numpy(zero_copy_only=False)
        agreed = np.where(self._trained, agreed, 0.0)
        best = agreed.max(initial=0.0)
        if best <= 0:
            return None
        rows = np.flatnonzero(agreed == best)
        return _Neighbours(rows, np.full(len(rows), 1.0 / len(rows)))


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector.astype(np.float64)))
    unit: NDArray[np.float32] = (vector / (length if length > _TINY else np.inf)).astype(np.float32)
    return unit


def _joined(nearest: Sequence[_Neighbours | None]) -> _Neighbours | None:
    """The neighbours by all modalities that have some, all modalities alike."""
    known = [neighbours for neighbours in nearest if neighbours is not None]
    if not known:
        return None
    rows = np.concatenate([neighbours.rows for neighbours in known])
    return _Neighbours(
        rows, np.concatenate([neighbours.shares for neighbours in known]) / len(known)
    )


def _mean(vectors: NDArray[np.float32], shares: NDArray[np.float64]) -> NDArray[np.float32]:
    """The direction of the mean vector, with the mean length."""
    mean = shares @ vectors
    length = float(shares @ np.linalg.norm(vectors, axis=1))
    own = float(np.linalg.norm(mean))
    scaled: NDArray[np.float32] = (mean * (length / own if own > _TINY else 0.0)).astype(np.float32)
    return scaled

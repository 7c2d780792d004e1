"""Vectors for items that no training knows, from the known items that they resemble."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import JsonValue

from service.artifact import Artifact

NEIGHBOURS = 10
"""Nearest items per modality, as many as the models' item graphs have."""

_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Placed:
    """Where an item lies: its vector [D] float32, and its factors per block of factors."""

    vector: NDArray[np.float32]
    factors: Mapping[str, NDArray[np.float32]]


class ContentGraph:
    """Joins new items to the trained ones of a version."""

    def __init__(self, artifact: Artifact) -> None:
        """Only items that someone had to do with are joined: what others are is not learned."""
        self._artifact = artifact
        self._trained = artifact.popularity > 0

    def place(
        self, features: Mapping[str, NDArray[np.float32]], metadata: Mapping[str, JsonValue]
    ) -> Placed | None:
        """The mean direction and mean length of the neighbours, block by block.

        This is what models of item graphs do for items without interactions. In every modality the
        nearest items by cosine count by it, all modalities alike. An item without vectors has the
        items for neighbours that agree with most of its categories.

        Args:
            features: modality of the version to a vector of the modality's width.
            metadata: fields of the version's items.

        Returns:
            None where it resembles nothing.
        """
        weights = np.zeros(len(self._trained))
        for modality, vector in features.items():
            weights += self._nearest(modality, vector)
        if not weights.any():
            weights = self._agreeing(metadata)
        rows = np.flatnonzero(weights)
        if not len(rows):
            return None
        shares = weights[rows] / weights[rows].sum()
        vector = np.zeros(self._artifact.items.shape[1], np.float32)
        for block in self._artifact.blocks:
            vector[block.columns] = _mean(self._artifact.items[rows, block.columns], shares)
        factors = {
            name: _mean(matrix[rows], shares) for name, matrix in self._artifact.factors.items()
        }
        return Placed(vector, factors)

    def _nearest(self, modality: str, vector: NDArray[np.float32]) -> NDArray[np.float64]:
        """Weights [I] that add up to 1; all zero for a vector like no other."""
        weights = np.zeros(len(self._trained))
        length = float(np.linalg.norm(vector.astype(np.float64)))
        if length <= _TINY:
            return weights
        cosines = self._artifact.features[modality] @ (vector / length).astype(np.float32)
        cosines = np.where(self._trained, cosines, 0.0)
        count = min(NEIGHBOURS, len(cosines))
        rows = np.argpartition(-cosines, count - 1)[:count]
        weights[rows] = np.maximum(cosines[rows], 0.0)
        total = weights.sum()
        return weights / total if total > _TINY else weights

    def _agreeing(self, metadata: Mapping[str, JsonValue]) -> NDArray[np.float64]:
        """Weights [I] of 1 for the items that agree in most of the category fields."""
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
        return (agreed == best).astype(np.float64) if best > 0 else agreed


def _mean(vectors: NDArray[np.float32], shares: NDArray[np.float64]) -> NDArray[np.float32]:
    """The direction of the mean vector, with the mean length."""
    mean = shares @ vectors
    length = float(shares @ np.linalg.norm(vectors, axis=1))
    own = float(np.linalg.norm(mean))
    scaled: NDArray[np.float32] = (mean * (length / own if own > _TINY else 0.0)).astype(np.float32)
    return scaled

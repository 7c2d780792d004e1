"""How alike the items are: to the models, or in one modality."""

from collections.abc import Callable
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from service.artifact import Artifact
from service.errors import InvalidParameter

LEARNED = "learned"
_TINY = 1e-12


class ItemSimilarity:
    """Similarities of one version's items; safe to use from several threads."""

    def __init__(self, artifact: Artifact) -> None:
        """Computes nothing yet."""
        self._artifact = artifact
        total = sum(abs(block.weight) for block in artifact.blocks) or 1.0
        self._comparable: Callable[[str], NDArray[np.bool_]] = lru_cache(maxsize=None)(
            self._find_comparable
        )
        self._shares = [abs(block.weight) / total for block in artifact.blocks]

    @property
    def kinds(self) -> list[str]:
        """What items can be compared by."""
        return [LEARNED, *sorted(self._artifact.features)]

    def to_item(self, item_row: int, by: str) -> NDArray[np.float32]:
        """Similarities [I], -1 to 1, of every item to one.

        ``learned`` is the mean of the members' cosines by their weights, so that no member counts
        more because its vectors are longer. Items without a vector are similar to nothing: 0.

        Raises:
            InvalidParameter: the version does not know the modality; the known ones are listed.
        """
        if by == LEARNED:
            return self._learned(item_row)
        features = self._artifact.features.get(by)
        if features is None:
            raise InvalidParameter(
                f"items cannot be compared by {by!r}; this version knows: {', '.join(self.kinds)}"
            )
        similarities: NDArray[np.float32] = features @ features[item_row]
        return similarities

    def comparable(self, by: str) -> NDArray[np.bool_]:
        """Which items [I] have a vector to be compared by; `by` is one of `kinds`."""
        return self._comparable(by)

    def unit_vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors [n, D] whose inner products are the learned similarities.

        Args:
            rows: [n] item rows.
        """
        vectors = np.array(self._artifact.items[rows], np.float32)
        for number, block in enumerate(self._artifact.blocks):
            scale = np.sqrt(self._shares[number]) * self._inverse_lengths[rows, number]
            vectors[:, block.columns] *= scale[:, None]
        return vectors

    def _learned(self, item_row: int) -> NDArray[np.float32]:
        items = self._artifact.items
        similarities = np.zeros(len(items), np.float32)
        for number, block in enumerate(self._artifact.blocks):
            inverse = self._inverse_lengths[:, number]
            query = items[item_row, block.columns] * (self._shares[number] * inverse[item_row])
            similarities += (items[:, block.columns] @ query) * inverse
        return similarities

    def _find_comparable(self, by: str) -> NDArray[np.bool_]:
        vectors = self._inverse_lengths if by == LEARNED else self._artifact.features[by]
        found = np.asarray(vectors.any(axis=1), np.bool_)
        found.flags.writeable = False
        return found

    @cached_property
    def _inverse_lengths(self) -> NDArray[np.float32]:
        """1 / length of every item's vector in every block [I, number of blocks]; 0 for none."""
        lengths = np.stack(
            [
                np.linalg.norm(self._artifact.items[:, block.columns], axis=1)
                for block in self._artifact.blocks
            ],
            axis=1,
        )
        inverse: NDArray[np.float32] = np.where(
            lengths > _TINY, 1.0 / np.maximum(lengths, _TINY), 0.0
        ).astype(np.float32)
        return inverse

"""How alike two items are to the models: a cosine in which every member counts by its weight."""

import numpy as np
from numpy.typing import NDArray

from service.artifact import Artifact

_TINY = 1e-12


def unit_vectors(artifact: Artifact, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Vectors whose inner product is the similarity, -1 to 1.

    Every member's block is made a unit vector times the root of its share of the weights, so that
    no member counts more because its vectors are longer. A block of zeros stays zero.

    Args:
        artifact: the version.
        rows: [n] item rows.

    Returns:
        [n, D] float32.
    """
    vectors = np.array(artifact.items[rows], np.float32)
    total = sum(abs(block.weight) for block in artifact.blocks) or 1.0
    for block in artifact.blocks:
        part = vectors[:, block.columns]
        norms = np.linalg.norm(part, axis=1, keepdims=True)
        scale = np.sqrt(abs(block.weight) / total)
        part *= np.where(norms > _TINY, scale / np.maximum(norms, _TINY), 0.0)
    return vectors

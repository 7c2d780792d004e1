"""Dense vectors of texts without a trained encoder: TF-IDF, then a truncated SVD."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from training.errors import DataError

_WORD = re.compile(r"[^\W\d_]{2,}")
MIN_TEXTS = 3
"""A word in fewer texts tells nothing about what they share."""
MAX_SHARE = 0.5
"""A word in more than this share of the texts tells nothing apart."""


def text_vectors(texts: Sequence[str | None], width: int = 64) -> NDArray[np.float32]:
    """Embed texts by latent semantic analysis (Deerwester et al. 1990).

    Term frequencies count as 1 + log, rare words more (idf), every text has norm 1; the vectors
    are U S of the truncated SVD.

    Args:
        texts: The texts; None, or one without a known word, is missing.
        width: Width of the vectors; less when there are fewer texts or words.

    Returns:
        float32 [len(texts), width]; a row of NaN for a missing text.

    Raises:
        DataError: No word occurs in several texts but not in most, so nothing can be told apart.
    """
    counts = [Counter(_WORD.findall(text.lower())) if text else Counter() for text in texts]
    present = sum(bool(count) for count in counts)
    spread = Counter(word for count in counts for word in count)
    words = sorted(w for w, n in spread.items() if n >= MIN_TEXTS and n <= MAX_SHARE * present)
    if len(words) < 2 or present < 2:
        raise DataError(
            f"{present} texts share no words to tell them apart by (a word counts that is in at "
            f"least {MIN_TEXTS} texts and in at most half); name another column"
        )
    matrix = _weighted(counts, words, spread, present)
    rank = min(width, min(matrix.shape) - 1)
    start = np.random.default_rng(0).normal(size=min(matrix.shape))
    left, values, _ = svds(matrix, k=rank, v0=start)
    order = np.argsort(-values)
    left, values = left[:, order], values[order]
    # The sign of a singular vector is arbitrary: the largest entry is positive.
    signs = np.sign(left[np.abs(left).argmax(0), np.arange(rank)])
    vectors: NDArray[np.float32] = (left * values * signs).astype(np.float32)
    vectors[np.diff(matrix.indptr) == 0] = np.nan
    return vectors


def _weighted(
    counts: Sequence[Counter[str]], words: Sequence[str], spread: Counter[str], present: int
) -> csr_array:
    """Return the TF-IDF matrix [texts, words], rows of norm 1 or 0."""
    column = {word: number for number, word in enumerate(words)}
    rows, columns, values = [], [], []
    for row, count in enumerate(counts):
        known = [(column[word], times) for word, times in count.items() if word in column]
        if not known:
            continue
        places, times = np.array(sorted(known)).T
        rarity = np.log((1 + present) / (1 + _spreads(places, words, spread)))
        weights = (1 + np.log(times)) * rarity
        rows.append(np.full(len(places), row))
        columns.append(places)
        values.append(weights / np.linalg.norm(weights))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return csr_array(entries, shape=(len(counts), len(words)))


def _spreads(
    places: NDArray[np.int64], words: Sequence[str], spread: Counter[str]
) -> NDArray[np.int64]:
    return np.array([spread[words[place]] for place in places])

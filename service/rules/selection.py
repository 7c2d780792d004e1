"""Choosing an answer from ranked candidates: caps, and diversity by maximal marginal relevance."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from service.filters import Coded
from service.rules.candidates import Mask, Ranked
from service.similar import ItemSimilarity

_Label: TypeAlias = tuple[int, int]


@dataclass(frozen=True, eq=False)
class CappedField:
    """A field's values and how many items may share one."""

    coded: Coded
    limit: int


class Selection:
    """What an answer has so far, and what may still be added to it."""

    def __init__(
        self, similarity: ItemSimilarity, caps: Sequence[CappedField], diversity: float
    ) -> None:
        """Nothing is chosen yet.

        Args:
            similarity: how alike the version's items are.
            caps: how many items may share a value.
            diversity: 0 to 1; 0 takes candidates in their order.
        """
        self._similarity = similarity
        self._caps = caps
        self._diversity = diversity
        self._counts: Counter[_Label] = Counter()
        self._rows: list[int] = []

    def take(self, candidates: Ranked, count: int) -> list[int]:
        """Positions of up to `count` candidates to add, in order.

        At least one is taken if the caps allow the first candidate.
        """
        taken = (
            self._diverse(candidates, count) if self._diversity else self._first(candidates, count)
        )
        self._rows += candidates[1][taken].tolist()
        return taken

    def strike_full(self, allowed: Mask) -> None:
        """Forbids the items that have a value of which the answer has enough."""
        for number, field in enumerate(self._caps):
            full = [
                code
                for (of, code), count in self._counts.items()
                if of == number and count >= field.limit
            ]
            allowed[field.coded.rows[np.isin(field.coded.codes, full)]] = False

    def _first(self, candidates: Ranked, count: int) -> list[int]:
        taken: list[int] = []
        for position, row in enumerate(candidates[1].tolist()):
            if self._add(self._labels(row)):
                taken.append(position)
                if len(taken) == count:
                    break
        return taken

    def _diverse(self, candidates: Ranked, count: int) -> list[int]:
        """Maximal marginal relevance (Carbonell and Goldstein 1998).

        Each step takes the item of the greatest ``(1 - d) * relevance - d * similarity``: relevance
        is the score scaled to 0..1 over the candidates, similarity the greatest to an item chosen
        before.
        """
        scores, rows = candidates
        low, high = float(scores[-1]), float(scores[0])
        relevance = (scores - low) / (high - low) if high > low else np.ones(len(rows))
        vectors = self._similarity.unit_vectors(rows)  # [n, D]
        before = self._similarity.unit_vectors(np.array(self._rows, np.int64))
        nearest = (vectors @ before.T).max(axis=1) if len(before) else np.full(len(rows), -1.0)
        left = np.ones(len(rows), np.bool_)
        taken: list[int] = []
        while len(taken) < count and left.any():
            value = (1 - self._diversity) * relevance - self._diversity * nearest
            position = int(np.argmax(np.where(left, value, -np.inf)))
            left[position] = False
            if self._add(self._labels(int(rows[position]))):
                taken.append(position)
                nearest = np.maximum(nearest, vectors @ vectors[position])
        return taken

    def _labels(self, item_row: int) -> set[_Label]:
        """The item's values that are counted, each as (number of the cap, code)."""
        labels = set()
        for number, field in enumerate(self._caps):
            start, end = np.searchsorted(field.coded.rows, (item_row, item_row + 1))
            labels |= {(number, int(code)) for code in field.coded.codes[start:end]}
        return labels

    def _add(self, labels: set[_Label]) -> bool:
        if any(self._counts[label] >= self._caps[label[0]].limit for label in labels):
            return False
        self._counts.update(labels)
        return True

"""One recommended item, as every step of an answer passes it on."""

from dataclasses import dataclass
from typing import Literal

Source = Literal["model", "popular"]


@dataclass(frozen=True)
class Recommended:
    """`score` is the model's inner product or the item's popularity, with its boosts added."""

    item_row: int
    score: float
    source: Source

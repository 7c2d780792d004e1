"""One recommended item, as every step of an answer passes it on."""

from typing import Literal, NamedTuple

Source = Literal["model", "popular"]


class Recommended(NamedTuple):
    """`score` is the model's inner product or the item's popularity, with its boosts added."""

    item_row: int
    score: float
    source: Source

"""What a request may demand of its answer beyond the best scores."""

from dataclasses import dataclass

from service.filters import Expression


@dataclass(frozen=True)
class Boost:
    """Raises the scores of the items that pass by `weight` standard deviations; below 0 lowers.

    The deviation is that of the scores of this answer's user over the items, so that a weight
    means the same for every user and model.
    """

    items: Expression
    weight: float


@dataclass(frozen=True)
class Cap:
    """At most `limit` items of an answer share a value of the field; a missing value is none."""

    field: str
    limit: int


@dataclass(frozen=True)
class Rules:
    """The rules of one request.

    Attributes:
        filter: items that do not pass never come.
        include: only these items may come; None means all.
        exclude: these items never come.
        boosts: change the scores before anything is chosen.
        bury: items that pass come after all others.
        caps: hold for every answer, hence for every page.
        diversity: 0 takes the best scores, 1 only looks at how different the items are (MMR).
    """

    filter: Expression | None = None
    include: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()
    boosts: tuple[Boost, ...] = ()
    bury: Expression | None = None
    caps: tuple[Cap, ...] = ()
    diversity: float = 0.0

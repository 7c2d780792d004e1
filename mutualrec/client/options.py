"""What requests may be asked for with, by keyword; what is not given is the service's default."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypedDict

from pydantic import JsonValue


@dataclass(frozen=True)
class Boost:
    """Adds `weight` standard deviations of the user's scores to the items that pass `filter`."""

    filter: str
    weight: float


@dataclass(frozen=True)
class Cap:
    """At most `limit` items of an answer share a value of the field."""

    field: str
    limit: int


class InCatalog(TypedDict, total=False):
    """The catalog that is asked; by default `default`, or `funds` where it is about funds."""

    catalog: str


class Shown(InCatalog, total=False):
    """`k` items that pass `filter`, with their `metadata` if wished."""

    k: int
    filter: str
    metadata: bool


class ListOptions(Shown, total=False):
    """`diversity` from 0 to 1; `explain` adds what scores are made of, and reasons."""

    exclude_seen: bool
    diversity: float
    explain: bool


class UserOptions(ListOptions, total=False):
    """Of a user; `session_id` is the one they are in."""

    session_id: str


class BatchOptions(UserOptions, total=False):
    """Rules of one request; lists are of item ids."""

    include_items: Sequence[str]
    exclude_items: Sequence[str]
    boosts: Sequence[Boost]
    bury: str
    caps: Sequence[Cap]


class PopularOptions(Shown, total=False):
    """Of `category`, decayed by `half_life_days`, of the last `window_days`."""

    half_life_days: float
    window_days: int
    category: str
    category_field: str


class SimilarOptions(Shown, total=False):
    """`by` is `learned` or a modality."""

    by: str


class SendOptions(InCatalog, total=False):
    """`results` says what became of each event; `durability` `sync` waits for the disk of Redis.

    `clock_may_be_wrong` sends this machine's time too, by which the service corrects timestamps
    that are off by more than 5 s. Not for events whose timestamps are from another clock.
    """

    results: bool
    durability: Literal["async", "sync"]
    clock_may_be_wrong: bool


class PageOptions(InCatalog, total=False):
    """`k` entries from `offset` on."""

    k: int
    offset: int


class FundOptions(InCatalog, total=False):
    """`k` holdings as of `quarter`, such as `2025Q1`."""

    k: int
    quarter: str


class SimilarFundOptions(InCatalog, total=False):
    """`k` funds by what they hold (`portfolio`) or by the models' vectors (`learned`)."""

    k: int
    by: Literal["portfolio", "learned"]


class TrendOptions(InCatalog, total=False):
    """`k` companies that pass `filter`, of which `per_fund` are counted for every fund."""

    k: int
    per_fund: int
    filter: str


class InvestorOptions(InCatalog, total=False):
    """`k` holders and `k` expected ones."""

    k: int


class InvestmentOptions(Shown, total=False):
    """Hard rules of suitability; what is not known to satisfy one is left out."""

    sector: Sequence[str]
    country: Sequence[str]
    size: Sequence[str]
    exclude_sector: Sequence[str]
    exclude_country: Sequence[str]
    exclude_size: Sequence[str]
    exclude: Sequence[str]
    max_per_sector: int
    held: Literal["exclude", "mark"]
    formerly_held: Literal["exclude", "mark"]


def checked(options: Mapping[str, object], known: type) -> dict[str, object]:
    """The options, unless there is an unknown one, which the service would pass over.

    Raises:
        TypeError: a name is not an option.
    """
    names: frozenset[str] = known.__optional_keys__  # type: ignore[attr-defined]  # a TypedDict
    unknown = sorted(set(options) - names)
    if unknown:
        raise TypeError(f"no option {unknown[0]!r}; there are: {', '.join(sorted(names))}")
    return dict(options)


def body_of(options: Mapping[str, object]) -> dict[str, JsonValue]:
    """Options as a JSON body has them."""
    return {name: _json(value) for name, value in options.items()}


def _json(value: object) -> JsonValue:
    if isinstance(value, Boost | Cap):
        return asdict(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_json(entry) for entry in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{value!r} cannot be sent as JSON")

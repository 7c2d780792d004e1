"""Rules as a request writes them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service.events import Identifier
from service.filters import MAX_LENGTH, parse_filter
from service.rules.rules import Boost, Cap, Rules

MAX_LISTED = 1000
MAX_BOOSTS = 8
MAX_CAPS = 4

FilterText = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]


class BoostBody(BaseModel):
    """Adds `weight` standard deviations of the user's scores to the items that pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filter: FilterText
    weight: Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]


class CapBody(BaseModel):
    """At most `limit` items of an answer share a value of the field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: Annotated[str, Field(min_length=1)]
    limit: Annotated[int, Field(ge=1, le=1000)]


class RulesBody(BaseModel):
    """The rules of a request; without any, the best scores are the answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filter: FilterText | None = None
    include_items: Annotated[tuple[Identifier, ...], Field(max_length=MAX_LISTED)] | None = None
    exclude_items: Annotated[tuple[Identifier, ...], Field(max_length=MAX_LISTED)] = ()
    boosts: Annotated[tuple[BoostBody, ...], Field(max_length=MAX_BOOSTS)] = ()
    bury: FilterText | None = None
    caps: Annotated[tuple[CapBody, ...], Field(max_length=MAX_CAPS)] = ()
    diversity: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0

    def rules(self) -> Rules | None:
        """The rules, None when there are none.

        Raises:
            FilterError: a filter cannot be understood.
        """
        if not self.canonical():
            return None
        return Rules(
            filter=None if self.filter is None else parse_filter(self.filter),
            include=None if self.include_items is None else frozenset(self.include_items),
            exclude=frozenset(self.exclude_items),
            boosts=tuple(Boost(parse_filter(b.filter), b.weight) for b in self.boosts),
            bury=None if self.bury is None else parse_filter(self.bury),
            caps=tuple(Cap(cap.field, cap.limit) for cap in self.caps),
            diversity=self.diversity,
        )

    def canonical(self) -> str:
        """The same text for the same rules; empty for none."""
        names = set(RulesBody.model_fields)
        text = self.model_dump_json(include=names, exclude_defaults=True)
        return "" if text == "{}" else text

"""What a filter means, as a tree; equal trees are equal filters, whatever their spelling."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from service.errors import InvalidParameter

Operator = Literal["=", "<", "<=", ">", ">="]


class FilterError(InvalidParameter):
    """A filter that cannot be understood; the message names the character and the fix."""

    def __init__(self, position: int, what: str) -> None:
        """Describes the fault.

        Args:
            position: of the character, from 1.
            what: what was wrong and what to write instead.
        """
        detail = f"filter, character {position}: {what}"
        super().__init__(detail, errors=[{"location": "filter", "error": detail}])
        self.position = position


@dataclass(frozen=True)
class Moment:
    """A date or a time: the microseconds since 1970 from `start_us` to before `end_us`.

    A date without a time of day is the whole day in UTC, so that ``<= 2024-01-31`` includes it.
    """

    start_us: int
    end_us: int

    @classmethod
    def of(cls, text: str) -> "Moment":
        """Reads ``2024-01-31`` or RFC 3339; a time without a zone is UTC. Raises ValueError."""
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        start_us = (moment - _EPOCH) // timedelta(microseconds=1)
        return cls(start_us, start_us + (_DAY_US if len(text) == len("2024-01-31") else 1))


Value: TypeAlias = str | bool | int | float | Moment


@dataclass(frozen=True)
class Literally:
    """A value of a filter, where it stands, and how it was written."""

    value: Value
    position: int = field(compare=False)
    text: str = field(compare=False)


@dataclass(frozen=True)
class FieldName:
    """A field of the items, and where it stands."""

    name: str
    position: int = field(compare=False)


@dataclass(frozen=True)
class Compare:
    """The field stands in this relation to the value."""

    field: FieldName
    operator: Operator
    literal: Literally


@dataclass(frozen=True)
class Among:
    """The field has one of the values."""

    field: FieldName
    literals: tuple[Literally, ...]


@dataclass(frozen=True)
class Between:
    """The field has a value from `low` to `high`, both included."""

    field: FieldName
    low: Literally
    high: Literally


@dataclass(frozen=True)
class Contains:
    """The text holds the other text; the list holds the value."""

    field: FieldName
    literal: Literally


@dataclass(frozen=True)
class Missing:
    """The item has no value in the field."""

    field: FieldName


@dataclass(frozen=True)
class Negation:
    """The term does not hold."""

    term: "Expression"


@dataclass(frozen=True)
class Every:
    """All terms hold."""

    terms: tuple["Expression", ...]


@dataclass(frozen=True)
class Some:
    """At least one term holds."""

    terms: tuple["Expression", ...]


Expression: TypeAlias = Compare | Among | Between | Contains | Missing | Negation | Every | Some

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US = 86_400_000_000

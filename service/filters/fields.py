"""The fields a filter may name, and whether a filter fits them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

import pyarrow as pa
import pyarrow.types as pt

from service.filters.syntax import (
    Among,
    Between,
    Compare,
    Contains,
    Every,
    Expression,
    FieldName,
    FilterError,
    Literally,
    Missing,
    Moment,
    Negation,
    Some,
)

Kind = Literal["text", "number", "boolean", "date"]

_MAX_LISTED = 20
_ONLY_EQUAL = "{!r} is true or false; only = and != compare it"
_HOW_TO_WRITE: dict[Kind, str] = {
    "text": 'text, which is written in quotes: "Drama"',
    "number": "a number, which is written without quotes: 12.5",
    "boolean": "true or false, without quotes",
    "date": "a date: 2024-01-31 or 2024-01-31T12:00:00Z",
}


@dataclass(frozen=True)
class FieldKind:
    """What a field holds; a list has any number of values of one kind per item."""

    kind: Kind
    is_list: bool = False

    def __str__(self) -> str:
        """In words, for messages."""
        return f"list of {self.kind}" if self.is_list else self.kind


def fields_of(schema: pa.Schema) -> dict[str, FieldKind]:
    """The columns that can be filtered by; nested and binary ones cannot, nor doubled names."""
    kinds = {name: _kind_of(schema.field(name).type) for name in _unique(schema.names)}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def resolve(expression: Expression, fields: Mapping[str, FieldKind]) -> Expression:
    """The filter with every value as the kind its field has: quoted dates become dates.

    Raises:
        FilterError: a field does not exist, or a value is of another kind.
    """
    match expression:
        case Every(terms):
            return Every(tuple(resolve(term, fields) for term in terms))
        case Some(terms):
            return Some(tuple(resolve(term, fields) for term in terms))
        case Negation(term):
            return Negation(resolve(term, fields))
        case Missing(field):
            require_field(field, fields)
            return expression
        case Among(field, literals):
            kind = require_field(field, fields)
            return Among(field, tuple(_resolved(literal, field, kind) for literal in literals))
        case Between(field, low, high):
            kind = require_field(field, fields)
            if kind.kind == "boolean":
                raise FilterError(field.position, _ONLY_EQUAL.format(field.name))
            return Between(field, _resolved(low, field, kind), _resolved(high, field, kind))
        case Compare(field, operator, literal):
            kind = require_field(field, fields)
            if kind.kind == "boolean" and operator != "=":
                raise FilterError(field.position, _ONLY_EQUAL.format(field.name))
            return replace(expression, literal=_resolved(literal, field, kind))
        case Contains(field, literal):
            kind = require_field(field, fields)
            if kind.kind != "text" and not kind.is_list:
                raise FilterError(
                    field.position,
                    f"{field.name!r} is of kind {kind}; contains is for text and lists,"
                    " use =, < or >",
                )
            return replace(expression, literal=_resolved(literal, field, kind))


def require_field(field: FieldName, fields: Mapping[str, FieldKind]) -> FieldKind:
    """What the field holds. Raises FilterError, listing the fields there are."""
    kind = fields.get(field.name)
    if kind is not None:
        return kind
    if not fields:
        raise FilterError(field.position, "the items of this catalog have no metadata to filter by")
    close = get_close_matches(field.name, fields, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    listed = [f"{name} ({kind})" for name, kind in sorted(fields.items())][:_MAX_LISTED]
    raise FilterError(
        field.position, f"there is no field {field.name!r}; {guess}Fields are: {', '.join(listed)}"
    )


def _resolved(literal: Literally, field: FieldName, kind: FieldKind) -> Literally:
    value = literal.value
    if kind.kind == "text" and isinstance(value, Moment):
        return replace(literal, value=literal.text)
    if kind.kind == "date" and isinstance(value, str):
        try:
            return replace(literal, value=Moment.of(value))
        except (ValueError, OverflowError):
            pass  # said below, with what a date looks like
    if not _FITS[kind.kind](value):
        raise FilterError(
            literal.position,
            f"{field.name!r} is of kind {kind}; compare it with {_HOW_TO_WRITE[kind.kind]}",
        )
    return literal


_FITS: dict[Kind, Callable[[object], bool]] = {
    "text": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "date": lambda value: isinstance(value, Moment),
}


def _kind_of(arrow: pa.DataType) -> FieldKind | None:
    if pt.is_list(arrow) or pt.is_large_list(arrow) or pt.is_fixed_size_list(arrow):
        inner = _kind_of(arrow.value_type)
        return None if inner is None or inner.is_list else FieldKind(inner.kind, is_list=True)
    if pt.is_dictionary(arrow):
        return _kind_of(arrow.value_type)
    if pt.is_string(arrow) or pt.is_large_string(arrow) or pt.is_string_view(arrow):
        return FieldKind("text")
    if pt.is_boolean(arrow):
        return FieldKind("boolean")
    if pt.is_integer(arrow) or pt.is_floating(arrow) or pt.is_decimal(arrow):
        return FieldKind("number")
    return FieldKind("date") if pt.is_date(arrow) or pt.is_timestamp(arrow) else None


def _unique(names: Iterable[str]) -> list[str]:
    listed = list(names)
    return [name for name in listed if listed.count(name) == 1]

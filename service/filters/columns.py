"""The items' metadata as columns, and filters as masks over them."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, reduce
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from service.filters.fields import FieldKind, Kind, fields_of, resolve
from service.filters.syntax import (
    Among,
    Between,
    Compare,
    Contains,
    Every,
    Expression,
    Missing,
    Moment,
    Negation,
    Operator,
    Some,
    Value,
)

Mask: TypeAlias = NDArray[np.bool_]
# Any: pyarrow has no type annotations.
Arrow: TypeAlias = Any

_CACHE_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class Allowed:
    """The items a filter lets through: `mask` [I], read-only, and how many they are."""

    mask: Mask
    count: int

    @classmethod
    def of(cls, mask: Mask) -> "Allowed":
        """Counts, and protects what several requests share."""
        mask.flags.writeable = False
        return cls(mask, int(np.count_nonzero(mask)))


@dataclass(frozen=True, eq=False)
class Coded:
    """A field's values as numbers: item ``rows[n]`` has the value ``names[codes[n]]``.

    An item of a list has several entries, an item without a value none. Sorted by row.
    """

    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Column:
    """A field's values; those of a list are laid flat, and `owners` are their items' rows.

    Text, numbers and booleans are Arrow arrays, dates int64 microseconds since 1970, UTC.
    """

    values: Arrow
    kind: FieldKind
    owners: NDArray[np.int64] | None


class ItemColumns:
    """The fields of one version's items; safe to use from several threads.

    Masks are kept for filters that come again, 64 MiB of them at most.
    """

    def __init__(self, metadata: pa.Table | None, num_items: int) -> None:
        """Reads a column only when a filter asks for it.

        Args:
            metadata: one row per item, or None.
            num_items: I.
        """
        self._metadata = pa.table({}) if metadata is None else metadata
        self._num_items = num_items
        self.fields: Mapping[str, FieldKind] = MappingProxyType(fields_of(self._metadata.schema))
        kept = max(4, min(256, _CACHE_BYTES // max(1, num_items)))
        self._column: Callable[[str], _Column] = lru_cache(maxsize=None)(self._read_column)
        self._coded: Callable[[str], Coded] = lru_cache(maxsize=8)(self._code)
        self._kept: Callable[[Expression], Allowed] = lru_cache(maxsize=kept)(self._evaluate)

    def allowed(self, expression: Expression) -> Allowed:
        """What a filter lets through.

        Raises:
            FilterError: the filter does not fit the fields.
        """
        return self._kept(resolve(expression, self.fields))

    def coded(self, name: str) -> Coded:
        """A field of `fields` as codes."""
        return self._coded(name)

    def _code(self, name: str) -> Coded:
        column = self._column(name)
        encoded = pc.dictionary_encode(column.values)
        codes = _numpy(pc.fill_null(encoded.indices, -1)).astype(np.int64)
        rows = np.arange(self._num_items) if column.owners is None else column.owners
        names = tuple(str(value) for value in encoded.dictionary.to_pylist())
        return Coded(rows[codes >= 0], codes[codes >= 0], names)

    def _evaluate(self, resolved: Expression) -> Allowed:
        return Allowed.of(self._mask(resolved))

    def _mask(self, expression: Expression) -> Mask:
        match expression:
            case Every(terms):
                return reduce(operator.and_, map(self._mask, terms))
            case Some(terms):
                return reduce(operator.or_, map(self._mask, terms))
            case Negation(term):
                return ~self._mask(term)
            case Missing(field):
                return self._missing(self._column(field.name))
            case Compare(field, relation, literal):
                column = self._column(field.name)
                return self._per_item(column, _compare(column.values, relation, literal.value))
            case Among(field, literals):
                column = self._column(field.name)
                values = [literal.value for literal in literals]
                return self._per_item(column, _among(column.values, values))
            case Between(field, low, high):
                column = self._column(field.name)
                reached = _compare(column.values, ">=", low.value)
                within = pc.and_(reached, _compare(column.values, "<=", high.value))
                return self._per_item(column, within)
            case Contains(field, literal):
                column = self._column(field.name)
                return self._per_item(column, _contains(column, literal.value))

    def _per_item(self, column: _Column, matches: Arrow) -> Mask:
        """An item passes if any of its values does; a missing value never does."""
        hits = _numpy(pc.fill_null(matches, False))
        if column.owners is None:
            return hits
        mask = np.zeros(self._num_items, np.bool_)
        mask[column.owners[hits]] = True
        return mask

    def _missing(self, column: _Column) -> Mask:
        null = _numpy(pc.is_null(column.values, nan_is_null=True))
        if column.owners is None:
            return null
        mask = np.ones(self._num_items, np.bool_)
        mask[column.owners[~null]] = False
        return mask

    def _read_column(self, name: str) -> _Column:
        kind = self.fields[name]
        values = self._metadata.column(name)
        if not kind.is_list:
            return _Column(_normal(values, kind.kind).combine_chunks(), kind, None)
        lists = values.combine_chunks()
        owners = _numpy(pc.list_parent_indices(lists)).astype(np.int64)
        return _Column(_normal(pc.list_flatten(lists), kind.kind), kind, owners)


def _normal(values: Arrow, kind: Kind) -> Arrow:
    if pt.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if kind == "text":
        return values.cast(pa.large_string())
    if kind == "date":
        return values.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
    if kind == "number":
        whole = pt.is_integer(values.type) and values.type != pa.uint64()
        return values.cast(pa.int64() if whole else pa.float64(), safe=False)
    return values


def _compare(values: Arrow, relation: Operator, value: Value) -> Arrow:
    if isinstance(value, Moment):
        return _compare_moment(values, relation, value)
    compare = {
        "=": pc.equal,
        "<": pc.less,
        "<=": pc.less_equal,
        ">": pc.greater,
        ">=": pc.greater_equal,
    }
    return compare[relation](values, pa.scalar(value))


def _compare_moment(values: Arrow, relation: Operator, moment: Moment) -> Arrow:
    match relation:
        case "=":
            return _among(values, [moment])
        case "<":
            return pc.less(values, moment.start_us)
        case "<=":
            return pc.less(values, moment.end_us)
        case ">":
            return pc.greater_equal(values, moment.end_us)
        case ">=":
            return pc.greater_equal(values, moment.start_us)


def _among(values: Arrow, wanted: list[Value]) -> Arrow:
    moments = sorted((m.start_us, m.end_us) for m in wanted if isinstance(m, Moment))
    if not moments:
        if pt.is_integer(values.type) and any(isinstance(value, float) for value in wanted):
            values = values.cast(pa.float64(), safe=False)
        value_set = pa.array(wanted).cast(values.type, safe=False)
        return pc.is_in(values, value_set=value_set, skip_nulls=True)
    starts, ends = np.array(moments, np.int64).T
    ends = np.maximum.accumulate(ends)
    times = _numpy(pc.fill_null(values, np.iinfo(np.int64).min))
    last = np.searchsorted(starts, times, side="right") - 1
    return pa.array((last >= 0) & (times < ends[last]))


def _contains(column: _Column, value: Value) -> Arrow:
    if column.kind.is_list:
        return _compare(column.values, "=", value)
    return pc.match_substring(column.values, value)


def _numpy(values: Arrow) -> NDArray[Any]:
    """A copy: what Arrow gives is often read-only."""
    return np.array(values.to_numpy(zero_copy_only=False))

"""What an investor may be shown: hard rules, checked before ranking and again before the reply."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from service.errors import InvalidParameter
from service.events import Identifier
from service.filters import MAX_LENGTH, Expression, parse_filter
from service.filters.columns import Mask
from service.filters.syntax import Among, Every, FieldName, Literally, Missing, Negation
from service.funds.companies import codes_by_row, column_of
from service.funds.facts import Role
from service.rules import Cap, Rules
from service.snapshot import Snapshot

MAX_EXCLUDED = 10_000
MAX_VALUES = 100
_SHOWN_VALUES = 20

Values = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=MAX_VALUES)]
Held = Literal["exclude", "mark"]


class Suitability(BaseModel):
    """Hard rules: a company comes only if it is known to satisfy every one of them.

    A company of unknown sector therefore satisfies no rule about sectors, neither that it lies in
    one nor that it does not; the same holds for country and size.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sector: Values = ()
    country: Values = ()
    size: Values = ()
    exclude_sector: Values = ()
    exclude_country: Values = ()
    exclude_size: Values = ()
    exclude: Annotated[tuple[Identifier, ...], Field(max_length=MAX_EXCLUDED)] = ()
    max_per_sector: Annotated[int, Field(ge=1, le=1000)] | None = None
    filter: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)] | None = None


@dataclass(frozen=True)
class Rule:
    """One rule that was applied: its name, and the companies [I] it lets through."""

    name: str
    allowed: Mask


@dataclass(frozen=True, eq=False)
class Applied:
    """The suitability of one request against one version.

    Attributes:
        rules: what the ranking needs.
        parts: every rule by itself, to be told and checked.
        unknown: ids of the exclusion list that the catalog does not have.
        max_per_sector: and the codes [I] of the sectors it counts; None for no limit.
    """

    rules: Rules
    parts: Sequence[Rule]
    unknown: tuple[str, ...]
    max_per_sector: int | None
    sector_codes: NDArray[np.int64] | None

    def fired(self, removed_from: Mask) -> list[dict[str, str | int]]:
        """Every rule with how many of the given companies [I] it alone removes."""
        told: list[dict[str, str | int]] = [
            {"rule": part.name, "removed": int(np.count_nonzero(removed_from & ~part.allowed))}
            for part in self.parts
        ]
        if self.max_per_sector is not None:
            told.append({"rule": f"max_per_sector={self.max_per_sector}", "removed": 0})
        return told

    def suitable(self, rows: Sequence[int]) -> list[int]:
        """The positions of an answer's item rows that break no rule: all, if all is well."""
        counts: Counter[int] = Counter()
        positions = []
        for position, row in enumerate(rows):
            if not all(part.allowed[row] for part in self.parts):
                continue
            if self.max_per_sector is not None and self.sector_codes is not None:
                code = int(self.sector_codes[row])
                if code < 0 or counts[code] >= self.max_per_sector:
                    continue
                counts[code] += 1
            positions.append(position)
        return positions


def apply(snapshot: Snapshot, wanted: Suitability) -> Applied:
    """Resolves the rules against the companies of a version.

    Raises:
        InvalidParameter: a value that no company has, a role this catalog lacks, or a filter that
            does not fit; each names the fix.
    """
    named: list[tuple[str, Expression]] = []
    for role in _ROLES:
        for prefix, negated in (("", False), ("exclude_", True)):
            values: Sequence[str] = getattr(wanted, prefix + role)
            if values:
                expression = _among(snapshot, role, values, negated=negated)
                named.append((f"{prefix}{role}", expression))
    if wanted.max_per_sector is not None:
        sector = FieldName(column_of(snapshot, "sector"), 1)
        named.append(("sector is known", Negation(Missing(sector))))
    if wanted.filter is not None:
        named.append(("filter", parse_filter(wanted.filter)))
    rows = snapshot.item_rows
    parts = [Rule(name, snapshot.columns.allowed(term).mask) for name, term in named]
    if wanted.exclude:
        mask = np.ones(snapshot.index.num_items, np.bool_)
        mask[[rows[company] for company in wanted.exclude if company in rows]] = False
        parts.append(Rule("exclude", mask))
    terms = tuple(term for _, term in named)
    return Applied(
        rules=Rules(
            filter=None if not terms else terms[0] if len(terms) == 1 else Every(terms),
            exclude=frozenset(wanted.exclude),
            caps=_caps(snapshot, wanted.max_per_sector),
        ),
        parts=parts,
        unknown=tuple(sorted({company for company in wanted.exclude if company not in rows})),
        max_per_sector=wanted.max_per_sector,
        sector_codes=None
        if wanted.max_per_sector is None
        else codes_by_row(snapshot, column_of(snapshot, "sector")),
    )


_ROLES: tuple[Role, ...] = ("sector", "country", "size")


def _caps(snapshot: Snapshot, max_per_sector: int | None) -> tuple[Cap, ...]:
    return () if max_per_sector is None else (Cap(column_of(snapshot, "sector"), max_per_sector),)


def _among(snapshot: Snapshot, role: Role, values: Sequence[str], *, negated: bool) -> Expression:
    column = column_of(snapshot, role)
    known = snapshot.columns.coded(column).names
    wrong = [value for value in values if value not in known]
    if wrong:
        close = get_close_matches(wrong[0], known, n=3, cutoff=0.5)
        shown = sorted(known)[:_SHOWN_VALUES]
        hint = (
            f"did you mean {' or '.join(map(repr, close))}?"
            if close
            else f"there are: {', '.join(shown)}{' ...' if len(known) > len(shown) else ''}"
        )
        raise InvalidParameter(f"{role}: no company has {role} {wrong[0]!r}; {hint}")
    field = FieldName(column, 1)
    literals = tuple(Literally(value, 1, value) for value in values)
    listed = Among(field, literals)
    return Every((Negation(listed), Negation(Missing(field)))) if negated else listed

"""What an artifact knows of fund companies: every position of every quarter, and their names.

An optional part of the artifact: ``funds.safetensors`` holds the positions as columns,
``funds.json`` the names. Catalogs of anything else have neither file.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from service.errors import ArtifactCorrupt

CHANGES = ("new", "increased", "reduced", "held", "closed")
"""What became of a position since the fund's report before; a number in the artifact."""

CLOSED = CHANGES.index("closed")
NEW = CHANGES.index("new")

Role = Literal["name", "sector", "country", "size"]
"""What the service needs to find among the companies' metadata columns."""


@dataclass(frozen=True, eq=False)
class FundFacts:
    """Positions as columns, sorted by fund, quarter and company; all arrays but quarters are [P].

    Attributes:
        quarters: [Q] int32 last days of the reported quarters as days since 1970-01-01, rising.
        fund_rows: int32 user rows.
        company_rows: int32 item rows.
        quarter_rows: int32, into `quarters`.
        changes: int32, into `CHANGES`; a closed position has no value any more.
        filed: int32 days since 1970-01-01 when the fund filed its report of the quarter.
        values: float64 US dollars.
        portfolio_shares: float64, 0 to 1: the part of the fund's reported portfolio.
        names: [U] of the funds in user order; the id where no name is known.
        ciks: [U] SEC numbers of the funds, None where there is none.
        columns: the metadata column that holds a company's name, sector, country and size; a role
            that no column has is absent.
    """

    quarters: NDArray[np.int32]
    fund_rows: NDArray[np.int32]
    company_rows: NDArray[np.int32]
    quarter_rows: NDArray[np.int32]
    changes: NDArray[np.int32]
    filed: NDArray[np.int32]
    values: NDArray[np.float64]
    portfolio_shares: NDArray[np.float64]
    names: Sequence[str]
    ciks: Sequence[str | None]
    columns: Mapping[Role, str]


ARRAYS = tuple(field.name for field in fields(FundFacts))[:8]


def without(facts: FundFacts, fund_rows: Collection[int]) -> FundFacts:
    """The facts without the positions, names and CIKs of some funds; all rows stay what they are.

    Args:
        facts: of a version.
        fund_rows: user rows.
    """
    stay = ~np.isin(facts.fund_rows, np.array([*fund_rows], np.int64))
    return replace(
        facts,
        **{name: getattr(facts, name)[stay] for name in ARRAYS if name != "quarters"},
        names=tuple("" if row in fund_rows else name for row, name in enumerate(facts.names)),
        ciks=tuple(None if row in fund_rows else cik for row, cik in enumerate(facts.ciks)),
    )


class _Names(BaseModel):
    """``funds.json``."""

    model_config = ConfigDict(extra="forbid")

    names: list[str]
    ciks: list[str | None]
    columns: dict[Role, str]


# Any: a mapping of arrays of two element types.
def arrays_of(facts: FundFacts) -> dict[str, NDArray[Any]]:
    """The arrays by name, for ``funds.safetensors``."""
    return {name: getattr(facts, name) for name in ARRAYS}


def names_json(facts: FundFacts) -> str:
    """The text of ``funds.json``."""
    content = {
        "names": list(facts.names),
        "ciks": list(facts.ciks),
        "columns": dict(facts.columns),
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def facts_from(arrays: Mapping[str, NDArray[Any]], text: str) -> FundFacts:
    """Puts both files together.

    Raises:
        ArtifactCorrupt: an array is missing, or the text is not what `names_json` gives.
    """
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise ArtifactCorrupt(f"funds.safetensors lacks {', '.join(missing)}; publish it again")
    try:
        names = _Names.model_validate_json(text)
    except ValidationError as error:
        raise ArtifactCorrupt(f"funds.json is not valid: {error}; publish it again") from error
    return FundFacts(
        **{name: arrays[name] for name in ARRAYS},
        names=tuple(names.names),
        ciks=tuple(names.ciks),
        columns=names.columns,
    )


def check_facts(facts: FundFacts, num_users: int, num_items: int) -> None:
    """Checks dtypes, lengths, ranges and the order. Raises ArtifactCorrupt."""
    _check_dtypes(facts)
    limits = {
        "fund_rows": num_users,
        "company_rows": num_items,
        "quarter_rows": len(facts.quarters),
        "changes": len(CHANGES),
    }
    for name, limit in limits.items():
        rows = getattr(facts, name)
        if len(rows) and not (rows.min() >= 0 and rows.max() < limit):
            raise ArtifactCorrupt(
                f"funds.{name} must lie in 0..{limit - 1}, got {rows.min()}..{rows.max()}"
            )
    if (np.diff(facts.quarters) <= 0).any():
        raise ArtifactCorrupt("funds.quarters must rise")
    keys = (facts.company_rows, facts.quarter_rows, facts.fund_rows)
    order = np.lexsort(keys)
    repeated = len(order) > 1 and np.all([np.diff(key[order]) == 0 for key in keys], axis=0).any()
    if repeated or not np.array_equal(order, np.arange(len(order))):
        raise ArtifactCorrupt(
            "funds: positions must be sorted by fund, quarter and company, each once"
        )
    for name in ("values", "portfolio_shares"):
        numbers = getattr(facts, name)
        if not (np.isfinite(numbers) & (numbers >= 0)).all():
            raise ArtifactCorrupt(f"funds.{name} must be finite and at least 0")
    if not len(facts.names) == len(facts.ciks) == num_users:
        raise ArtifactCorrupt(
            f"funds.json has {len(facts.names)} names and {len(facts.ciks)} CIKs for"
            f" {num_users} users"
        )


def _check_dtypes(facts: FundFacts) -> None:
    for name in ARRAYS:
        array = getattr(facts, name)
        dtype = np.float64 if name in ("values", "portfolio_shares") else np.int32
        shape = facts.quarters.shape if name == "quarters" else facts.fund_rows.shape
        if array.dtype != np.dtype(dtype) or array.ndim != 1 or array.shape != shape:
            raise ArtifactCorrupt(
                f"funds.{name} has dtype {array.dtype} and shape {array.shape}, expected"
                f" {np.dtype(dtype)} and {shape}"
            )

"""Which fund and which quarter a report is about, and what the fund reported afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_SUGGESTED = 3
_SHOWN_QUARTERS = 6


@dataclass(frozen=True)
class Later:
    """What a fund held after the quarter.

    Attributes:
        quarters: the names of the reports that were looked at, such as ``2025Q1``; rising.
        shares: company id to the part of the portfolio in the last of them.
        first_seen: company id to the first of these quarters in which it was held.
    """

    quarters: tuple[str, ...]
    shares: Mapping[str, float]
    first_seen: Mapping[str, str]


@dataclass(frozen=True)
class Subject:
    """A fund after a quarter.

    Attributes:
        fund_id: as in the dataset.
        quarter: the last day of the quarter.
        later: what the fund reported next.
        names: names of the companies that it reported next, by id.
        attributes: their other text columns, by id; for companies nobody had reported before.
    """

    fund_id: str
    quarter: date
    later: Later
    names: Mapping[str, str]
    attributes: Mapping[str, Mapping[str, str | None]]


def find_subject(dataset_folder: Path, fund: str, quarter: str, ahead: int) -> Subject:
    """Look up who and when is meant before anything is trained.

    Args:
        dataset_folder: Dataset of fund companies.
        fund: Id, CIK or name of the fund.
        quarter: Such as ``2025Q1``.
        ahead: How many of the next quarters count.

    Raises:
        DataError: No fund or several are called so, the fund did not report the quarter, or
            nothing after it; every message names what there is.
    """
    import polars as pl

    from training.data.tables import read_table
    from training.errors import DataError
    from training.fund_facts import has_funds, quarter_of, read_positions

    if not has_funds(dataset_folder):
        raise DataError(
            f"{dataset_folder} knows no fund companies; name a dataset that "
            "`mutualrec import sec13f` made with --dataset"
        )
    positions = read_positions(dataset_folder)
    quarters = positions["quarter"].unique().sort().to_list()
    by_name = {quarter_of(day): day for day in quarters}
    day = by_name.get(quarter.upper())
    if day is None:
        raise DataError(
            f"quarter {quarter!r} is in no report; write it like 2025Q1, there are "
            f"{quarter_of(quarters[0])} to {quarter_of(quarters[-1])}"
        )
    if day == quarters[-1]:
        raise DataError(
            f"{quarter_of(day)} is the newest quarter, so what came next is not known yet; "
            f"name one before it, or import the filings of the quarter after it"
        )
    fund_id = _fund(dataset_folder, positions, fund)
    own = positions.filter(pl.col("fund_id") == fund_id, pl.col("change") != "closed")
    reported = own["quarter"].unique().sort().to_list()
    if day not in reported:
        raise DataError(f"{fund_id} did not report {quarter_of(day)}; it has {_spans(reported)}")
    wanted = [later for later in quarters if later > day][:ahead]
    found = [later for later in wanted if later in reported]
    if not found:
        raise DataError(
            f"{fund_id} reported nothing in {_spans(wanted)}; it has {_spans(reported)}. Name "
            "another quarter, or look further with --ahead"
        )
    items = read_table(dataset_folder / "items.parquet")
    return Subject(fund_id, day, _later(own, found), *_described(items, own, found))


def _fund(dataset_folder: Path, positions: "pl.DataFrame", wanted: str) -> str:
    from service.funds.names import NameSearch
    from training.data.tables import read_table
    from training.errors import DataError
    from training.fund_facts import FOLDER, MANAGERS

    path = dataset_folder / FOLDER / MANAGERS
    ids: list[str] = positions["fund_id"].unique().sort().to_list()
    names: list[str | None] = [None] * len(ids)
    ciks: list[str | None] = [None] * len(ids)
    if path.exists():
        table = {row["fund_id"]: row for row in read_table(path).iter_rows(named=True)}
        names = [table.get(one, {}).get("name") for one in ids]
        ciks = [table.get(one, {}).get("cik") for one in ids]
    if wanted in ids:
        return wanted
    found = NameSearch(ids, names, ciks).find(wanted)
    exact = [
        row for row in found if wanted.casefold() in ((names[row] or "").casefold(), ciks[row])
    ]
    if len(exact) == 1 or len(found) == 1:
        return ids[(exact or found)[0]]
    if not found:
        raise DataError(
            f"no fund is called {wanted!r} in {dataset_folder}; {path} has their ids and names"
        )
    meant = " or ".join(f"{ids[row]!r} ({names[row]})" for row in found[:_SUGGESTED])
    raise DataError(f"{len(found)} funds fit {wanted!r}; did you mean {meant}? Name an id")


def _later(own: "pl.DataFrame", found: Sequence[date]) -> Later:
    import polars as pl

    from training.fund_facts import quarter_of

    first_seen: dict[str, str] = {}
    shares: dict[str, float] = {}
    for day in found:
        of_quarter = own.filter(pl.col("quarter") == day)
        shares = dict(of_quarter.select("company_id", "share").iter_rows())
        for company in shares:
            first_seen.setdefault(company, quarter_of(day))
    return Later(tuple(quarter_of(day) for day in found), shares, first_seen)


def _described(
    items: "pl.DataFrame", own: "pl.DataFrame", found: Sequence[date]
) -> tuple[dict[str, str], dict[str, dict[str, str | None]]]:
    import polars as pl

    reported = own.filter(pl.col("quarter").is_in(list(found))).select(item_id="company_id")
    rows = items.join(reported.unique(), on="item_id", how="semi")
    text = [name for name, dtype in rows.schema.items() if dtype == pl.String]
    described = {row["item_id"]: row for row in rows.select(text).iter_rows(named=True)}
    names = {one: row.get("name") or one for one, row in described.items()}
    return names, described


def _spans(days: Sequence[date]) -> str:
    from training.fund_facts import quarter_of

    names = [quarter_of(day) for day in days]
    return (
        ", ".join(names) if len(names) <= 6 else f"{names[0]} to {names[-1]}, {len(names)} in all"
    )

"""Where a fund may invest next: the model's ranking under the rules of suitability."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.experiments.arms import Arm, combined
from service.funds.companies import book_of, companies_of
from service.funds.reasons import reasons
from service.funds.suitability import Applied, Held
from service.recommend import as_rows, recommend, view_user
from service.recommended import Recommended
from service.rules import Rules
from service.snapshot import Snapshot
from service.store.client import HistoryItem
from service.user_vector import UserVector

logger = logging.getLogger(__name__)

# Any: JSON.
Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Wish:
    """What is asked for besides suitability.

    Attributes:
        k: how many companies.
        held: what becomes of companies the fund holds.
        formerly_held: what becomes of companies it held once and sold.
    """

    k: int
    held: Held = "exclude"
    formerly_held: Held = "mark"


@dataclass(frozen=True)
class Investments:
    """The answer, and every rule that was applied with how many companies it removed."""

    items: list[Json]
    rules: list[Json]


def investments(
    snapshot: Snapshot,
    fund_row: int,
    history: Sequence[HistoryItem],
    applied: Applied,
    wish: Wish,
    *,
    now_ms: int,
    arm: Arm | None = None,
) -> Investments:
    """The best companies that satisfy every rule; fewer only where no other does.

    Args:
        snapshot: the version that answers.
        fund_row: whose investments.
        history: what the fund did since the version was trained.
        applied: the suitability.
        wish: what else is asked for.
        now_ms: epoch ms.
        arm: of an experiment; its rules hold beside those of suitability.
    """
    book = book_of(snapshot)
    fund_id = snapshot.artifact.user_ids[fund_row]
    view = view_user(snapshot, fund_id, history, exclude_seen=False, now_ms=now_ms)
    rules: Rules | None = applied.rules
    if arm is not None:
        view.vector = UserVector(arm.weighed(snapshot, view.query))
        rules = combined(rules, arm.rules)
    held = np.union1d(book.held_companies(fund_row), as_rows(view.fresh))
    former = np.setdiff1d(book.former_companies(fund_row), held)
    told: list[Json] = []
    barred = np.zeros(snapshot.index.num_items, np.bool_)
    barred[as_rows(view.excluded)] = True
    for name, rows, choice in (
        ("held", held, wish.held),
        ("formerly_held", former, wish.formerly_held),
    ):
        if choice == "exclude":
            barred[rows] = True
            told.append({"rule": name, "removed": len(rows)})
    told += applied.fired(~barred)
    chosen = recommend(snapshot, view.without(np.flatnonzero(barred).tolist()), wish.k, rules)
    chosen = _checked(chosen, applied, barred)
    return Investments(_items(snapshot, fund_row, chosen, held, former), told)


def _checked(
    chosen: list[Recommended], applied: Applied, barred: NDArray[np.bool_]
) -> list[Recommended]:
    """The last look before the reply: a company that breaks a rule does not leave the service."""
    suitable = [
        chosen[position]
        for position in applied.suitable([item.item_row for item in chosen])
        if not barred[chosen[position].item_row]
    ]
    if len(suitable) < len(chosen):
        withheld = len(chosen) - len(suitable)
        logger.error("the ranking broke a rule of suitability; withheld=%d", withheld)
    return suitable


def _items(
    snapshot: Snapshot,
    fund_row: int,
    chosen: Sequence[Recommended],
    held: NDArray[np.int64],
    former: NDArray[np.int64],
) -> list[Json]:
    rows = [item.item_row for item in chosen]
    companies, book = companies_of(snapshot), book_of(snapshot)
    is_held, was_held = np.isin(rows, held).tolist(), np.isin(rows, former).tolist()
    return [
        companies.brief(item.item_row)
        | {
            "rank": rank,
            "score": item.score,
            "source": item.source,
            "held": is_held[rank - 1],
            "formerly_held": was_held[rank - 1],
            "num_funds": int(book.num_holders[item.item_row])
            if item.item_row < book.num_items
            else 0,
            "reasons": why,
        }
        for rank, (item, why) in enumerate(
            zip(chosen, reasons(snapshot, fund_row, rows), strict=True), start=1
        )
    ]

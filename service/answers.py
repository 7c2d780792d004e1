"""From someone's history to the content of an answer, for one user or session at a time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from service.cursor import MAX_SHOWN, Cursor, decode_cursor, request_fingerprint, shown_rows
from service.experiments.arms import Arm
from service.experiments.ids import Origin, new_id
from service.explain import explain
from service.items_json import with_metadata
from service.recommend import UserView, recommend, view_user
from service.recommended import Recommended
from service.rules import Rules
from service.snapshot import Snapshot
from service.store.client import HistoryItem

# Any: JSON.
Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Demand:
    """What a request asks for, whoever it is for.

    Attributes:
        k: how many items.
        exclude_seen: leave out what the user has.
        metadata: add the items' metadata.
        rules: what else is demanded of the answer; None for nothing.
        rules_text: the same for equal rules, empty for none.
        explain: add what scores are made of, and reasons.
        cursor: None for one list; empty for the first page; else what the last page gave.
        arm: the experiment's arm that answers; `rules` are those of the arm too.
    """

    k: int
    exclude_seen: bool = True
    metadata: bool = False
    rules: Rules | None = None
    rules_text: str = ""
    explain: bool = False
    cursor: str | None = None
    arm: Arm | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked for that costs more than a search."""
        return self.rules is None and not self.explain and self.cursor is None


@dataclass(frozen=True)
class Someone:
    """Who is answered: a user, a session, or a user in a session; and what they did lately.

    `degraded` means that the latter is not known.
    """

    user_id: str | None
    session_id: str | None
    history: Sequence[HistoryItem]
    degraded: bool


def answer(catalog: str, snapshot: Snapshot, someone: Someone, demand: Demand) -> Json:
    """The content of one answer, but for the time it took.

    Raises:
        InvalidParameter: the rules do not fit the catalog, or the cursor is none of this request.
    """
    view = view_user(
        snapshot,
        someone.user_id,
        someone.history,
        exclude_seen=demand.exclude_seen,
        now_ms=time.time_ns() // 1_000_000,
    )
    if demand.arm is not None:
        view = replace(view, query=demand.arm.weighed(snapshot, view.query))
    cursor, num_before = _cursor(catalog, someone, demand), 0
    k = demand.k
    if cursor is not None:
        num_before = len(cursor.shown)
        k = min(k, MAX_SHOWN - num_before)
        view = view.without(shown_rows(snapshot, cursor))
    items = recommend(snapshot, view, k, demand.rules) if k > 0 else []
    return {
        "user_id": someone.user_id,
        **({} if someone.session_id is None else {"session_id": someone.session_id}),
        "recommendation_id": cursor.recommendation_id if cursor else _new_id(demand),
        **({} if demand.arm is None else demand.arm.names),
        "model_version": snapshot.version,
        "catalog": catalog,
        "items": _items(snapshot, view, items, demand, num_before),
        "next_cursor": _next(snapshot, cursor, items, k) if cursor else None,
        "degraded": someone.degraded,
    }


def _new_id(demand: Demand) -> str:
    arm, now_s = demand.arm, int(time.time())
    return new_id(Origin(now_s) if arm is None else Origin(now_s, arm.number, arm.index))


def _cursor(catalog: str, someone: Someone, demand: Demand) -> Cursor | None:
    if demand.cursor is None:
        return None
    seen = "unseen" if demand.exclude_seen else "all"
    request = request_fingerprint(
        catalog, someone.user_id, someone.session_id, seen, demand.rules_text
    )
    if not demand.cursor:
        return Cursor(_new_id(demand), request)
    return decode_cursor(demand.cursor, request)


def _next(snapshot: Snapshot, cursor: Cursor, items: Sequence[Recommended], k: int) -> str | None:
    following = cursor.after(snapshot.artifact.item_ids[item.item_row] for item in items)
    is_last = len(items) < k or len(following.shown) >= MAX_SHOWN
    return None if is_last else following.encode()


def _items(
    snapshot: Snapshot,
    view: UserView,
    answer: Sequence[Recommended],
    demand: Demand,
    num_before: int,
) -> list[Json]:
    item_ids = snapshot.artifact.item_ids
    items: list[Json] = [
        {
            "item_id": item_ids[item.item_row],
            "score": item.score,
            "rank": rank,
            "source": item.source,
        }
        for rank, item in enumerate(answer, start=num_before + 1)
    ]
    if demand.explain:
        owned = np.concatenate([view.known, np.setdiff1d(view.fresh, view.known)])
        told = explain(snapshot, view.query, owned, answer)
        items = [item | why for item, why in zip(items, told, strict=True)]
    if demand.metadata:
        with_metadata(snapshot, [item.item_row for item in answer], items)
    return items

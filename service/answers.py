"""From someone's history to the content of an answer, for one user or session at a time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from service.cursor import MAX_SHOWN, Cursor, decode_cursor, request_fingerprint, shown_rows
from service.experiments.arms import Arm, recommendation_id
from service.explain import explain
from service.items_json import with_metadata
from service.recommend import UserView, recommend, view_user
from service.recommended import Recommended
from service.rules import Rules
from service.snapshot import Snapshot
from service.store.client import HistoryItem
from service.user_vector import UserVector

# Any: JSON.
Json: TypeAlias = dict[str, Any]


class Demand(NamedTuple):
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
        """Whether one search is all that costs anything."""
        return self.rules is None and not self.explain and self.cursor is None


class Someone(NamedTuple):
    """Who is answered: a user, a session, or a user in a session; and what they did lately.

    `degraded` means that the latter is not known.
    """

    user_id: str | None
    session_id: str | None
    history: Sequence[HistoryItem]
    degraded: bool


@dataclass
class Asked:
    """A demand that is ready to be ranked.

    Attributes:
        view: who is answered.
        k: how many items this page has; 0 for none.
        cursor: where a list goes on, None for one that is no page.
    """

    view: UserView
    k: int
    cursor: Cursor | None


def answer(catalog: str, snapshot: Snapshot, someone: Someone, demand: Demand) -> Json:
    """The content of one answer, but for the time it took.

    Raises:
        InvalidParameter: the rules do not fit the catalog, or the cursor is none of this request.
    """
    asked = ask(catalog, snapshot, someone, demand)
    items = recommend(snapshot, asked.view, asked.k, demand.rules) if asked.k > 0 else []
    return content_of(catalog, snapshot, someone, demand, asked, items)


def ask(catalog: str, snapshot: Snapshot, someone: Someone, demand: Demand) -> Asked:
    """What an answer needs before the search.

    Raises:
        InvalidParameter: the cursor is none of this request.
    """
    view = view_user(
        snapshot,
        someone.user_id,
        someone.history,
        exclude_seen=demand.exclude_seen,
        now_ms=time.time_ns() // 1_000_000,
    )
    if demand.arm is not None and demand.arm.weights:
        view.vector = UserVector(demand.arm.weighed(snapshot, view.query))
    cursor = _cursor(catalog, someone, demand)
    if cursor is None:
        return Asked(view, demand.k, None)
    k = min(demand.k, MAX_SHOWN - len(cursor.shown))
    return Asked(view.without(shown_rows(snapshot, cursor).tolist()), k, cursor)


def content_of(
    catalog: str,
    snapshot: Snapshot,
    someone: Someone,
    demand: Demand,
    asked: Asked,
    items: Sequence[Recommended],
) -> Json:
    """The content of an answer that has these items."""
    cursor = asked.cursor
    content: Json = {"user_id": someone.user_id}
    if someone.session_id is not None:
        content["session_id"] = someone.session_id
    content["recommendation_id"] = (
        cursor.recommendation_id if cursor else recommendation_id(demand.arm)
    )
    if demand.arm is not None:
        content |= demand.arm.names
    content["model_version"] = snapshot.artifact.version
    content["catalog"] = catalog
    content["items"] = _items(snapshot, asked, items, demand)
    content["next_cursor"] = _next(snapshot, cursor, items, asked.k) if cursor else None
    content["degraded"] = someone.degraded
    return content


def _cursor(catalog: str, someone: Someone, demand: Demand) -> Cursor | None:
    if demand.cursor is None:
        return None
    seen = "unseen" if demand.exclude_seen else "all"
    request = request_fingerprint(
        catalog, someone.user_id, someone.session_id, seen, demand.rules_text
    )
    if not demand.cursor:
        return Cursor(recommendation_id(demand.arm), request)
    return decode_cursor(demand.cursor, request)


def _next(snapshot: Snapshot, cursor: Cursor, items: Sequence[Recommended], k: int) -> str | None:
    following = cursor.after(snapshot.artifact.item_ids[item.item_row] for item in items)
    is_last = len(items) < k or len(following.shown) >= MAX_SHOWN
    return None if is_last else following.encode()


def _items(
    snapshot: Snapshot, asked: Asked, answer: Sequence[Recommended], demand: Demand
) -> list[Json]:
    item_ids = snapshot.artifact.item_ids
    first = 1 if asked.cursor is None else 1 + len(asked.cursor.shown)
    items: list[Json] = [
        {"item_id": item_ids[row], "score": score, "rank": rank, "source": source}
        for rank, (row, score, source) in enumerate(answer, first)
    ]
    if demand.explain:
        told = explain(snapshot, asked.view.query, asked.view.owned, answer)
        items = [item | why for item, why in zip(items, told, strict=True)]
    if demand.metadata:
        with_metadata(snapshot, [item.item_row for item in answer], items)
    return items

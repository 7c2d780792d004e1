"""What to recommend to one user: pure computation on one snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.event_weights import weight_of
from service.index import search_excluding
from service.recommended import Recommended
from service.rules import Rules, rank
from service.snapshot import Snapshot
from service.store.client import HistoryItem
from service.user_vector import user_vector


@dataclass(frozen=True, eq=False)
class UserView:
    """What a version knows of someone.

    Attributes:
        query: [D] float32, None when nothing is known that could rank items.
        known: item rows [n] that the version knows the user to have, distinct.
        fresh: item rows [m] of positive events since, distinct; some may be known.
        excluded: distinct item rows that may not come.
    """

    query: NDArray[np.float32] | None
    known: NDArray[np.int64]
    fresh: NDArray[np.int64]
    excluded: NDArray[np.int64]

    def without(self, rows: NDArray[np.int64]) -> "UserView":
        """The same with more rows excluded."""
        return replace(self, excluded=np.union1d(self.excluded, rows)) if len(rows) else self


def view_user(
    snapshot: Snapshot,
    user_id: str | None,
    history: Sequence[HistoryItem],
    *,
    exclude_seen: bool,
    now_ms: int,
) -> UserView:
    """What the version knows of someone, moved by what they did since.

    Args:
        snapshot: the version that answers.
        user_id: any id, None for someone without one.
        history: what the user did lately, known to the version or not.
        exclude_seen: leave out everything the user has; negative items are left out always.
        now_ms: epoch ms, which events age by.
    """
    user_row = None if user_id is None else snapshot.user_rows.get(user_id)
    known = _no_rows() if user_row is None else _as_rows(snapshot.artifact.seen(user_row))
    positive = _history_rows(snapshot, history, positive=True)
    negative = _history_rows(snapshot, history, positive=False)
    excluded = np.unique(np.concatenate([known, positive, negative])) if exclude_seen else negative
    if len(snapshot.hidden_rows):
        excluded = np.union1d(excluded, snapshot.hidden_rows)
    fresh, weights = _weighted(snapshot, history, np.setdiff1d(positive, known), now_ms)
    query = user_vector(snapshot.artifact, snapshot.fold_in, user_row, fresh, weights)
    return UserView(query, known, positive, excluded)


def recommend(
    snapshot: Snapshot, view: UserView, k: int, rules: Rules | None = None
) -> list[Recommended]:
    """The k best items, padded with popular ones; fewer only when the catalogue is used up.

    Args:
        snapshot: the version that answers.
        view: who it answers; someone unknown without history gets popular items.
        k: how many, at least 1.
        rules: what else the request demands of the answer.

    Raises:
        InvalidParameter: the rules do not fit the catalog.
    """
    query, excluded = view.query, view.excluded
    if rules is not None:
        return rank(snapshot, query, excluded, k, rules)
    answer: list[Recommended] = []
    if query is not None:
        scores, rows = search_excluding(snapshot.index, query, k, excluded)
        answer = [
            Recommended(row, score, "model")
            for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
        ]
    if len(answer) < k:
        chosen = np.array([item.item_row for item in answer], np.int64)
        answer += _popular(snapshot, np.concatenate([excluded, chosen]), k - len(answer))
    return answer


def _popular(snapshot: Snapshot, excluded: NDArray[np.int64], k: int) -> list[Recommended]:
    candidates = snapshot.popular_rows[: k + len(excluded)]
    rows = candidates[~np.isin(candidates, excluded)][:k]
    scores = snapshot.artifact.popularity[rows]
    return [
        Recommended(row, score, "popular")
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
    ]


def _weighted(
    snapshot: Snapshot, history: Sequence[HistoryItem], rows: NDArray[np.int64], now_ms: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Those of the rows that count for anything, and how much each does."""
    if not len(rows):
        return rows, np.zeros(0)
    by_row = {snapshot.item_rows.get(item.item_id): item.types for item in history}
    weights = np.array(
        [weight_of(by_row[row], snapshot.event_weights, now_ms) for row in rows.tolist()]
    )
    return rows[weights > 0], weights[weights > 0]


def _history_rows(
    snapshot: Snapshot, history: Sequence[HistoryItem], *, positive: bool
) -> NDArray[np.int64]:
    rows = {
        snapshot.item_rows[item.item_id]
        for item in history
        if item.positive is positive and item.item_id in snapshot.item_rows
    }
    return np.array(sorted(rows), np.int64)


def _as_rows(rows: NDArray[np.int32]) -> NDArray[np.int64]:
    return np.unique(rows).astype(np.int64)


def _no_rows() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)

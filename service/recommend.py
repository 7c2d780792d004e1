"""What to recommend to one user: pure computation on one snapshot."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.event_weights import weight_of
from service.recommended import Recommended
from service.rules import Rules, rank
from service.snapshot import Snapshot
from service.store.client import HistoryItem
from service.user_vector import Moved, Pending, UserVector

_NOBODY: frozenset[int] = frozenset()


@dataclass(eq=False)
class UserView:
    """What a version knows of someone.

    Attributes:
        vector: what items are ranked by.
        known: item rows that the version knows the user to have.
        fresh: item rows of positive events since; some may be known.
        excluded: item rows that may not come.
    """

    vector: UserVector
    known: Collection[int]
    fresh: Collection[int]
    excluded: frozenset[int]

    @property
    def query(self) -> NDArray[np.float32] | None:
        """[D] float32, None when nothing is known that could rank items."""
        return self.vector.value

    @property
    def owned(self) -> NDArray[np.int64]:
        """Rows [n] of what the user has, what happened since last."""
        known = sorted(self.known)
        return as_rows([*known, *sorted(set(self.fresh).difference(known))])

    def without(self, rows: Iterable[int]) -> "UserView":
        """The same with more rows excluded."""
        return replace(self, excluded=self.excluded.union(rows))


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
    known = _NOBODY if user_row is None else frozenset(snapshot.artifact.seen(user_row).tolist())
    positive: dict[int, HistoryItem] = {}
    negative: list[int] = []
    for item in history:
        row = snapshot.item_rows.get(item.item_id)
        if row is None:
            continue
        if item.positive:
            positive[row] = item
        else:
            negative.append(row)
    excluded = known.union(positive, negative) if exclude_seen else frozenset(negative)
    if snapshot.hidden:
        excluded |= snapshot.hidden
    counted = _weighted(snapshot, positive, known, now_ms)
    moved = Moved(user_row, list(counted), list(counted.values()))
    vector = UserVector(None, Pending(snapshot.artifact, snapshot.fold_in, moved))
    return UserView(vector, known, positive.keys(), excluded)


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
    if rules is not None:
        return rank(snapshot, view.query, as_rows(view.excluded), k, rules)
    query = view.query
    if query is None:
        return padded(snapshot, view, k, None)
    scores, rows = snapshot.index.search(query[None, :], fetched(view, k))
    return padded(snapshot, view, k, (scores[0].tolist(), rows[0].tolist()))


def fetched(view: UserView, k: int) -> int:
    """How many items to search for, so that k are left when the excluded ones are dropped.

    That is exact, on a flat index as fast as searching for k, and right on a GPU too, whose indexes
    ignore what they are told to leave out.
    """
    return k + len(view.excluded)


def padded(
    snapshot: Snapshot, view: UserView, k: int, found: tuple[list[float], list[int]] | None
) -> list[Recommended]:
    """The best of what was found, then popular items.

    Args:
        snapshot: the version that answers.
        view: who it answers.
        k: how many; 0 for none.
        found: falling scores and the rows of at least `fetched` items; None for someone whom
            nothing can be ranked for.
    """
    excluded = view.excluded
    answer: list[Recommended] = []
    if k < 1:
        return answer
    if found is not None:
        for score, row in zip(*found, strict=True):
            if row not in excluded:
                answer.append(Recommended(row, score, "model"))
                if len(answer) == k:
                    return answer
    return answer + _popular(snapshot, excluded.union(a.item_row for a in answer), k - len(answer))


def as_rows(rows: Iterable[int]) -> NDArray[np.int64]:
    """Rows as an array."""
    return np.array([*rows], np.int64)


def _popular(snapshot: Snapshot, excluded: frozenset[int], k: int) -> list[Recommended]:
    candidates = snapshot.popular_rows[: k + len(excluded)].tolist()
    rows = [row for row in candidates if row not in excluded][:k]
    scores = snapshot.artifact.popularity[rows].tolist()
    return [Recommended(row, score, "popular") for row, score in zip(rows, scores, strict=True)]


def _weighted(
    snapshot: Snapshot,
    positive: dict[int, HistoryItem],
    known: frozenset[int],
    now_ms: int,
) -> dict[int, float]:
    """What is new to the version and counts for anything, and how much each does."""
    new = sorted(positive.keys() - known)
    of_types = snapshot.event_weights
    if not of_types:
        return dict.fromkeys(new, 1.0)
    weights = [(row, weight_of(positive[row].types, of_types, now_ms)) for row in new]
    return {row: weight for row, weight in weights if weight > 0}

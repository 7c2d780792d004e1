"""An answer under rules: what may come, in which order, and which of it is chosen."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidParameter
from service.recommended import Recommended, Source
from service.rules.candidates import (
    BoostedCandidates,
    Candidates,
    Mask,
    ModelCandidates,
    PopularCandidates,
)
from service.rules.rules import Rules
from service.rules.selection import CappedField, Selection
from service.snapshot import Snapshot

POOL_FACTOR = 5
_MIN_POOL = 100


def rank(
    snapshot: Snapshot,
    query: NDArray[np.float32] | None,
    excluded: NDArray[np.int64],
    k: int,
    rules: Rules,
) -> list[Recommended]:
    """The k best items under the rules; fewer only when no other item is allowed.

    Buried items come after all others; within both, what the model knows to rank comes before
    what is only popular.

    Args:
        snapshot: the version that answers.
        query: the user's vector [D], None for one that nothing is known of.
        excluded: item rows that may not come: seen, disliked, shown before.
        k: how many, at least 1.
        rules: the request's rules.

    Raises:
        FilterError: a filter does not fit the items' metadata.
        InvalidParameter: a cap names a field that does not exist.
    """
    allowed = _allowed(snapshot, excluded, rules)
    sources: list[tuple[Source, Candidates]] = []
    if query is not None:
        model = ModelCandidates(snapshot.artifact, snapshot.index, query)
        sources.append(("model", _boosted(snapshot, model, rules)))
    popular = PopularCandidates(snapshot.artifact.popularity)
    sources.append(("popular", _boosted(snapshot, popular, rules)))
    caps = [_capped(snapshot, cap.field, cap.limit) for cap in rules.caps]
    selection = Selection(snapshot.similarity, caps, rules.diversity)
    answer: list[Recommended] = []
    for tier in _tiers(snapshot, allowed, rules):
        for source, candidates in sources:
            if len(answer) < k:
                chosen = _choose(candidates, tier, k - len(answer), rules, selection)
                answer += [Recommended(row, score, source) for row, score in chosen]
    return answer


def _choose(
    candidates: Candidates, allowed: Mask, count: int, rules: Rules, selection: Selection
) -> list[tuple[int, float]]:
    """Takes up to `count` items, and strikes them from `allowed`."""
    simple = not rules.caps and not rules.diversity
    pool = count if simple else max(POOL_FACTOR * count, _MIN_POOL)
    chosen: list[tuple[int, float]] = []
    while len(chosen) < count:
        scores, rows = candidates.top(pool, allowed)
        if not len(rows):
            break
        taken = range(len(rows)) if simple else selection.take((scores, rows), count - len(chosen))
        chosen += [(int(rows[position]), float(scores[position])) for position in taken]
        allowed[[row for row, _ in chosen]] = False
        # What a cap would refuse anyway is not asked for again, so few rounds are enough.
        selection.strike_full(allowed)
    return chosen


def _allowed(snapshot: Snapshot, excluded: NDArray[np.int64], rules: Rules) -> Mask:
    num_items = snapshot.index.num_items
    if rules.filter is None:
        mask = np.ones(num_items, np.bool_)
    else:
        mask = snapshot.columns.allowed(rules.filter).mask.copy()
    if rules.include is not None:
        included = np.zeros(num_items, np.bool_)
        included[_rows(snapshot, rules.include)] = True
        mask &= included
    mask[_rows(snapshot, rules.exclude)] = False
    mask[excluded] = False
    return mask


def _rows(snapshot: Snapshot, item_ids: Iterable[str]) -> list[int]:
    rows = snapshot.item_rows
    return [rows[item_id] for item_id in item_ids if item_id in rows]


def _tiers(snapshot: Snapshot, allowed: Mask, rules: Rules) -> list[Mask]:
    if rules.bury is None:
        return [allowed]
    buried = snapshot.columns.allowed(rules.bury).mask
    return [allowed & ~buried, allowed & buried]


def _boosted(snapshot: Snapshot, candidates: Candidates, rules: Rules) -> Candidates:
    if not rules.boosts:
        return candidates
    boost = np.zeros(snapshot.index.num_items, np.float32)
    for rule in rules.boosts:
        boost[snapshot.columns.allowed(rule.items).mask] += np.float32(rule.weight)
    return BoostedCandidates(candidates, boost * np.float32(candidates.spread()))


def _capped(snapshot: Snapshot, field: str, limit: int) -> CappedField:
    fields = snapshot.columns.fields
    if field not in fields:
        raise InvalidParameter(
            f"caps: there is no field {field!r}; fields are: {', '.join(sorted(fields)) or 'none'}"
        )
    return CappedField(snapshot.columns.coded(field), limit)

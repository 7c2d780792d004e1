"""Why an item was recommended: what its score is made of, and what a user can be told."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.artifact import Block
from service.categories import category_fields
from service.recommended import Recommended
from service.snapshot import Snapshot

# Any: JSON.
Json: TypeAlias = dict[str, Any]

POPULAR_PLACES = 10
"""Down to which place in its category an item is called popular."""

_OWNED = 500
_SAMPLED_ITEMS = 512
_STRIKING = 2.0
"""Standard deviations above the usual from which a similarity is worth telling."""


def explain(
    snapshot: Snapshot,
    query: NDArray[np.float32] | None,
    owned: NDArray[np.int64],
    answer: Sequence[Recommended],
) -> list[Json]:
    """Per item its ``score_parts`` and ``reasons``.

    Args:
        snapshot: the version that answers.
        query: the user's vector [D], None for one that nothing is known of.
        owned: rows of the items the user has to do with; the last 500 are looked at.
        answer: the items.
    """
    rows = np.array([item.item_row for item in answer], np.int64)
    reasons: list[list[Json]] = [[] for _ in answer]
    owned = owned[-_OWNED:]
    if len(owned) and len(rows):
        _tell_learned(snapshot, rows, owned, reasons)
        _tell_modality(snapshot, rows, owned, reasons)
    for field in category_fields(snapshot):
        _tell_popular(snapshot, field, rows, reasons)
    for item, told in zip(answer, reasons, strict=True):
        if item.source == "popular" and not any(reason["kind"] == "popular" for reason in told):
            told.append({"kind": "popular"})
    return [
        {"score_parts": score_parts(snapshot, query, item), "reasons": told}
        for item, told in zip(answer, reasons, strict=True)
    ]


def score_parts(
    snapshot: Snapshot, query: NDArray[np.float32] | None, item: Recommended
) -> list[Json]:
    """What every member added to the score, and the boosts; the scores add up to the item's.

    ``share`` is a part's size as a fraction of all parts' sizes. A member that keeps modalities
    apart has ``modalities``, the same within its own score.
    """
    artifact = snapshot.artifact
    parts: list[tuple[str, float]] = []
    modalities: dict[str, list[Json]] = {}
    if item.source == "model" and query is not None:
        vector = artifact.items[item.item_row]
        for block in artifact.blocks:
            products = query[block.columns] * vector[block.columns]
            parts.append((block.name, float(products.sum())))
            if block.parts:
                modalities[block.name] = _of_modalities(block, products)
    else:
        parts = [("popularity", float(artifact.popularity[item.item_row]))]
    rest = item.score - sum(score for _, score in parts)
    size = sum(abs(score) for _, score in parts)
    # Rounding leaves a trace that is no boost.
    if abs(rest) > 1e-4 * max(size, 1.0):
        parts.append(("boosts", rest))
        size += abs(rest)
    told: list[Json] = [
        {"name": name, "score": score, "share": abs(score) / size if size else 0.0}
        for name, score in parts
    ]
    for part in told:
        if part["name"] in modalities:
            part["modalities"] = modalities[part["name"]]
    return told


def _of_modalities(block: Block, products: NDArray[np.float32]) -> list[Json]:
    """What every modality added to a member's score, [width] products summed by their owner.

    A modality may own several parts; null owns what depends on none.
    """
    ends = np.cumsum([part.width for part in block.parts])
    sums: dict[str | None, float] = {}
    for part, own in zip(block.parts, np.split(products, ends[:-1]), strict=True):
        sums[part.modality] = sums.get(part.modality, 0.0) + float(own.sum())
    size = sum(abs(score) for score in sums.values())
    return [
        {"modality": modality, "score": score, "share": abs(score) / size if size else 0.0}
        for modality, score in sums.items()
    ]


def _tell_learned(
    snapshot: Snapshot,
    rows: NDArray[np.int64],
    owned: NDArray[np.int64],
    reasons: list[list[Json]],
) -> None:
    """Because you interacted with X: the user's item that is most alike to the models."""
    vectors = snapshot.similarity.unit_vectors
    similarities = vectors(rows) @ vectors(owned).T  # [n, number of owned items]
    for told, of_item in zip(reasons, similarities, strict=True):
        nearest = int(np.argmax(of_item))
        if of_item[nearest] > 0:
            told.append(
                {
                    "kind": "interacted",
                    "item_id": snapshot.artifact.item_ids[owned[nearest]],
                    "similarity": float(of_item[nearest]),
                }
            )


def _tell_modality(
    snapshot: Snapshot,
    rows: NDArray[np.int64],
    owned: NDArray[np.int64],
    reasons: list[list[Json]],
) -> None:
    """Similar in modality M: where the likeness to one of the user's items is most unusual."""
    striking: list[tuple[float, Json] | None] = [None for _ in rows]
    for modality, features in snapshot.artifact.features.items():
        step = max(1, len(features) // _SAMPLED_ITEMS)
        usual = features[::step] @ features[owned].T  # [sample, number of owned items]
        mean, deviation = usual.mean(axis=0), usual.std(axis=0)
        similarities = features[rows] @ features[owned].T  # [n, number of owned items]
        unusual = (similarities - mean) / np.maximum(deviation, 1e-6)
        for number, of_item in enumerate(unusual):
            nearest = int(np.argmax(of_item))
            found = float(of_item[nearest])
            known = striking[number]
            if found > _STRIKING and (known is None or found > known[0]):
                reason = {
                    "kind": "similar",
                    "modality": modality,
                    "item_id": snapshot.artifact.item_ids[owned[nearest]],
                    "similarity": float(similarities[number, nearest]),
                }
                striking[number] = (found, reason)
    for told, best in zip(reasons, striking, strict=True):
        if best is not None:
            told.append(best[1])


def _tell_popular(
    snapshot: Snapshot, field: str, rows: NDArray[np.int64], reasons: list[list[Json]]
) -> None:
    """Popular in category C: among the ten most popular items of a category."""
    coded = snapshot.columns.coded(field)
    popularity = snapshot.artifact.popularity
    categories: dict[int, NDArray[np.float64]] = {}
    for told, row in zip(reasons, rows.tolist(), strict=True):
        start, end = np.searchsorted(coded.rows, (row, row + 1))
        for code in sorted(set(coded.codes[start:end].tolist())):
            if code not in categories:
                categories[code] = np.sort(popularity[coded.rows[coded.codes == code]])
            members = categories[code]
            place = 1 + len(members) - int(np.searchsorted(members, popularity[row], "right"))
            if popularity[row] > 0 and place <= POPULAR_PLACES:
                told.append(
                    {
                        "kind": "popular",
                        "field": field,
                        "value": coded.names[code],
                        "place": place,
                    }
                )

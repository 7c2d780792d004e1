"""A version ready to answer: immutable, so that a request sees one version from start to end."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import cast

import numpy as np
from numpy.typing import NDArray

from service.artifact import Artifact
from service.errors import ArtifactCorrupt
from service.event_weights import EventWeight, read_event_weight
from service.events import SIGN_MARKS, Sign
from service.filters import ItemColumns
from service.index import FlatGpuIndex, IndexKind, ItemIndex, MeasuredIndex, index_of
from service.item_change import ItemChange
from service.kept import kept_path
from service.shared_ids import longer_rows, rows_of, share
from service.similar import ItemSimilarity
from service.trends import Trends
from service.user_vector import FoldIn, fold_in_of

_WARM_UP_USERS = 32
_WARM_UP_K = 100
_DEFAULT_TYPE = "view"

QUICK_S = 0.001
"""A search that takes less is done in the event loop."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """An artifact with its index and lookups.

    Attributes:
        artifact: the verified version.
        index: search over ``artifact.items``.
        user_rows: user id to row.
        item_rows: item id to row.
        popular_rows: [I] int64, most popular first; equal ones in row order.
        event_types: the catalog's event types and their signs; empty when it did not say.
        event_weights: how much an event of each of those types counts.
        fold_in: what moves a user's vector.
        search_s: seconds of the quickest search during warm-up: others may have been busy.
        is_quick: whether a search is too short to be worth a thread.
        columns: the items' metadata, for filters and caps.
        similarity: how alike the items are.
        trends: what is popular at any decay.
        hidden_rows: [h] int64 distinct rows of items that are in no list.
        changes: what was said of items since, by item id.
        num_added: how many items came since; their rows come last.
    """

    artifact: Artifact
    index: ItemIndex
    user_rows: Mapping[str, int]
    item_rows: Mapping[str, int]
    popular_rows: NDArray[np.int64]
    event_types: Mapping[str, Sign]
    event_weights: Mapping[str, EventWeight]
    fold_in: FoldIn
    search_s: float
    is_quick: bool
    columns: ItemColumns
    similarity: ItemSimilarity
    trends: Trends
    hidden_rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    changes: Mapping[str, ItemChange] = field(default_factory=dict)
    num_added: int = 0

    @cached_property
    def hidden(self) -> frozenset[int]:
        """The same rows."""
        return frozenset(self.hidden_rows.tolist())

    @property
    def num_trained(self) -> int:
        """The number of items the version was published with; their rows come first."""
        return self.index.num_items - self.num_added

    @property
    def version(self) -> str:
        """The artifact's version."""
        return self.artifact.version

    def trained_items(self, user_id: str) -> list[str] | None:
        """The items that the version learned a user by, None if it does not know the user."""
        row = self.user_rows.get(user_id)
        if row is None:
            return None
        return [self.artifact.item_ids[item] for item in self.artifact.seen(row)]

    @property
    def default_event_type(self) -> str:
        """The type of an event that names none: ``view`` where the catalog has it."""
        positive = [name for name, sign in self.event_types.items() if sign == "positive"]
        if _DEFAULT_TYPE in self.event_types or not positive:
            return _DEFAULT_TYPE
        return positive[0]


def build_snapshot(
    artifact: Artifact,
    kind: IndexKind,
    observe_search: Callable[[float], None] | None = None,
    *,
    recall: float = 1.0,
) -> Snapshot:
    """Builds the index, warms it up with real users and checks that it answers.

    Args:
        artifact: a loaded version.
        kind: the kind of index.
        observe_search: called with the seconds of every search after the warm-up.
        recall: the share of the exact results that an index which is not exact must find.

    Raises:
        ArtifactCorrupt: the artifact has no item, or its recipe's event types make no sense.
        IndexUnavailable: `kind` is ``gpu`` and there is none.
    """
    if not artifact.item_ids:
        raise ArtifactCorrupt(f"{artifact.folder} has no items; publish a catalogue with some")
    artifact = replace(
        artifact,
        user_ids=share(artifact.user_ids, kept_path(artifact, ".users")),
        item_ids=share(artifact.item_ids, kept_path(artifact, ".items")),
    )
    index = index_of(artifact, kind, recall)
    search_s = _warm_up(artifact, index)
    event_types, event_weights = _event_types(artifact)
    return Snapshot(
        artifact=artifact,
        index=index if observe_search is None else MeasuredIndex(index, observe_search),
        user_rows=rows_of(artifact.user_ids),
        item_rows=rows_of(artifact.item_ids),
        popular_rows=np.argsort(-artifact.popularity, kind="stable").astype(np.int64),
        event_types=event_types,
        event_weights=event_weights,
        fold_in=fold_in_of(artifact),
        search_s=search_s,
        # A GPU is waited for, however quick it is.
        is_quick=search_s < QUICK_S and not isinstance(index, FlatGpuIndex),
        columns=ItemColumns(artifact.item_metadata, len(artifact.item_ids)),
        similarity=ItemSimilarity(artifact),
        trends=Trends(artifact),
    )


def over_artifact(snapshot: Snapshot, artifact: Artifact, index: ItemIndex) -> Snapshot:
    """The snapshot with other items; users, event types and the first items' rows are the same.

    Args:
        snapshot: as it was published.
        artifact: its artifact with changed metadata, and with items after the others.
        index: search over the artifact's items.
    """
    first = len(snapshot.item_rows)
    added = {name: row for row, name in enumerate(artifact.item_ids[first:], start=first)}
    return replace(
        snapshot,
        artifact=artifact,
        index=index,
        item_rows=longer_rows(snapshot.item_rows, added),
        # Nobody had to do with an added item yet.
        popular_rows=np.concatenate([snapshot.popular_rows, [*added.values()]]).astype(np.int64),
        columns=ItemColumns(artifact.item_metadata, len(artifact.item_ids)),
        similarity=ItemSimilarity(artifact),
        trends=Trends(artifact),
        num_added=len(added),
    )


def _event_types(
    artifact: Artifact,
) -> tuple[Mapping[str, Sign], Mapping[str, EventWeight]]:
    table = artifact.manifest.recipe.get("event_types") or {}
    if not isinstance(table, dict):
        raise ArtifactCorrupt(f"{artifact.folder}: recipe.event_types is not a table: {table!r}")
    signs: dict[str, Sign] = {}
    weights: dict[str, EventWeight] = {}
    for name, settings in table.items():
        settings = settings if isinstance(settings, dict) else {"sign": None}
        sign = settings.get("sign", "positive")
        if sign != "neutral" and sign not in SIGN_MARKS:
            raise ArtifactCorrupt(
                f"{artifact.folder}: event type {name!r} has sign {sign!r}, allowed are"
                " positive, neutral and negative"
            )
        signs[name] = cast(Sign, sign)
        weights[name] = read_event_weight(f"{artifact.folder}: event type {name!r}", settings)
    return MappingProxyType(signs), MappingProxyType(weights)


def _warm_up(artifact: Artifact, index: ItemIndex) -> float:
    num_users, width = artifact.users.shape
    queries = artifact.users[:: max(1, num_users // _WARM_UP_USERS)][:_WARM_UP_USERS]
    if not len(queries):
        queries = np.zeros((1, width), np.float32)
    seconds = []
    for query in queries:
        start = time.perf_counter()
        scores, rows = index.search(query[None, :], _WARM_UP_K)
        seconds.append(time.perf_counter() - start)
        if not np.isfinite(scores).all() or rows.min() < 0 or rows.max() >= index.num_items:
            raise ArtifactCorrupt(f"{artifact.folder}: the index gives impossible answers")
    return min(seconds)

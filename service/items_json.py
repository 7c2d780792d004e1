"""Items as the JSON of an answer."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.snapshot import Snapshot


# Any: JSON.
def with_metadata(
    snapshot: Snapshot, rows: Sequence[int], items: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Adds every item's metadata, an empty object where the catalog has none.

    Args:
        snapshot: the version that answers.
        rows: the items' rows.
        items: the items, in that order; changed in place.
    """
    table = snapshot.artifact.item_metadata
    records = (
        [{} for _ in rows] if table is None else table.take(np.array(rows, np.int64)).to_pylist()
    )
    for item, record in zip(items, records, strict=True):
        item["metadata"] = record
    return items

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from service.artifact import ArtifactDraft, Block, DatasetRef, Member, write_artifact

DraftMaker = Callable[..., ArtifactDraft]
Publisher = Callable[..., str]

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def _draft(
    num_users: int = 6, num_items: int = 12, width: int = 4, seed: int = 0, **changes: object
) -> ArtifactDraft:
    """One learned block; user u has seen the items u and u + 1."""
    rng = np.random.default_rng(seed)
    values: dict[str, object] = {
        "dataset": DatasetRef(name="tiny", fingerprint="0" * 64),
        "split": "official",
        "ensemble": "concat",
        "members": [Member(model="bpr", seed=seed, weight=1.0)],
        "blocks": [Block("bpr", "learned", 0, width, 1.0, zscore=False)],
        "users": rng.normal(size=(num_users, width)).astype(np.float32),
        "items": rng.normal(size=(num_items, width)).astype(np.float32),
        "user_ids": [f"u{row}" for row in range(num_users)],
        "item_ids": [f"i{row}" for row in range(num_items)],
        "popularity": np.arange(num_items, 0, -1, dtype=np.float64),
        "seen_indptr": np.arange(0, 2 * num_users + 1, 2, dtype=np.int64),
        "seen_indices": np.array(
            [item % num_items for row in range(num_users) for item in (row, row + 1)], np.int32
        ),
        "item_metadata": pa.table({"title": [f"Item {row}" for row in range(num_items)]}),
    }
    return ArtifactDraft(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def make_draft() -> DraftMaker:
    return _draft


@pytest.fixture(scope="session")
def publish() -> Publisher:
    """Writes a version; each call is one second later than the last."""
    count = 0

    def write(root: Path, catalog: str = "default", draft: ArtifactDraft | None = None) -> str:
        nonlocal count
        count += 1
        moment = _EPOCH + timedelta(seconds=count)
        return write_artifact(root, catalog, draft or _draft(), clock=lambda: moment)

    return write

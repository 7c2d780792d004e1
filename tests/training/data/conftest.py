from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training.data.dataset import DatasetDraft, EventType, ModalitySpec, Neighbours

NOW_S = 1_790_000_000.0  # September 2026
DAY_MS = 86_400_000
MONDAY_MS = 1_780_272_000_000  # 2026-06-01


@pytest.fixture
def draft() -> DatasetDraft:
    """Three users, four items (the last without interactions), two event types."""
    return DatasetDraft(
        name="shop",
        event_types={
            "view": EventType(0.5, half_life_days=30.0),
            "dislike": EventType(sign="negative"),
        },
        modalities={
            "image": ModalitySpec("dense", "features/image.npy"),
            "category": ModalitySpec("categorical", "category"),
        },
        interactions=pl.DataFrame(
            {
                "user_id": ["ann", "ann", "bob", "bob", "cid"],
                "item_id": ["lamp", "sofa", "lamp", "sofa", "rug"],
                "timestamp": [MONDAY_MS + day * DAY_MS for day in range(5)],
                "type": ["view", "view", "view", "dislike", "view"],
                "value": pl.Series([1.0, 2.0, None, 1.0, 1.0], dtype=pl.Float32),
            }
        ),
        items=pl.DataFrame(
            {
                "item_id": ["lamp", "sofa", "rug", "vase"],
                "category": ["light", "seat", None, "art"],
                "price": [10.0, 20.0, 30.0, 40.0],
            }
        ),
        features={"image": np.array([[1, 0], [0, 1], [np.nan, np.nan], [1, 1]], np.float32)},
        neighbours={
            "image": Neighbours(
                np.array([[0], [1], [2], [0]], np.int64), np.ones((4, 1), np.float32)
            )
        },
    )


@pytest.fixture
def real_data() -> Path:
    """Folder of real data sets beside the project."""
    folder = Path(__file__).resolve().parents[3].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real data sets in ../shared/data, which are not part of the project")
    return folder

"""A synthetic shop whose structure is known: what a user picks depends on two modalities at once.

Every item has a look (image cluster) and a use (text cluster), drawn independently; every user
likes a few looks and a few uses. The utility of an item for a user is

    utility = 1.5 * look_match + 1.5 * use_match + log_popularity + Gumbel noise

and the user picks the items of highest utility, so a model that ignores one modality misses half
of what decides.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.dataset import DatasetDraft, EventType, ModalitySpec, write_dataset
from training.data.importers.report import ImportReport
from training.errors import DataError

LOOKS = (
    "Walnut", "Oak", "Brass", "Marble", "Linen", "Rattan",
    "Glass", "Ceramic", "Steel", "Velvet", "Bamboo", "Copper",
)  # fmt: skip
USES = (
    ("desk lamp", "Lighting"), ("floor lamp", "Lighting"), ("armchair", "Seating"),
    ("stool", "Seating"), ("bookshelf", "Storage"), ("basket", "Storage"),
    ("teapot", "Kitchen"), ("bowl", "Kitchen"), ("cushion", "Textiles"), ("blanket", "Textiles"),
)  # fmt: skip
END = datetime(2026, 10, 31, tzinfo=UTC)
DAYS = 180
IMAGE_WIDTH, TEXT_WIDTH, LATENT_WIDTH = 64, 48, 8
PURCHASE_SHARE = 0.4
TASTE_STRENGTH = 1.5
_DAY_MS = 86_400_000
_CHUNK = 4096


@dataclass(frozen=True)
class _Modality:
    """Latent vectors of items and tastes of users in one modality; ``clusters`` [num_items]."""

    clusters: NDArray[np.int64]
    items: NDArray[np.float64]
    users: NDArray[np.float64]


def import_demo(
    target: Path,
    *,
    num_users: int = 2000,
    num_items: int = 800,
    seed: int = 0,
    name: str = "demo",
) -> ImportReport:
    """Generate the demo shop; equal arguments give equal content.

    Modalities: ``image`` (64 wide), ``text`` (48 wide) and the categorical ``category``. One item
    in a hundred has no interactions, and as many lack image or text features. Users have about 17
    events on average: each pick is viewed, four in ten are then purchased. Times cover the 180
    days before 2026-10-31.

    Args:
        target: Dataset folder to write.
        num_users: Users, >= 1.
        num_items: Items, >= 50.
        seed: Seed of everything.
        name: Name of the data set.

    Returns:
        Counts: users, items, read, interactions, cold_items.

    Raises:
        DataError: The sizes are too small.
    """
    if num_users < 1 or num_items < 50:
        raise DataError(
            f"num_users is {num_users}, num_items {num_items}; use at least 1 user and 50 items"
        )
    rng = np.random.default_rng(seed)
    image = _modality(rng, num_users, num_items, len(LOOKS))
    text = _modality(rng, num_users, num_items, len(USES))
    cold = rng.permutation(num_items)[: max(1, num_items // 100)]
    popularity = -0.6 * np.log(1 + rng.permutation(num_items))
    popularity[cold] = -np.inf
    events = _events(rng, _picks(rng, image, text, popularity))
    features = {
        "image": _features(rng, image.items, IMAGE_WIDTH),
        "text": _features(rng, text.items, TEXT_WIDTH),
    }
    draft = DatasetDraft(
        name=name,
        event_types={"view": EventType(0.5), "purchase": EventType(1.0)},
        modalities={
            "image": ModalitySpec("dense", "features/image.npy"),
            "text": ModalitySpec("dense", "features/text.npy"),
            "category": ModalitySpec("categorical", "category"),
        },
        interactions=_event_table(events, num_users, num_items),
        items=_item_table(rng, image.clusters, text.clusters),
        users=pl.DataFrame({"user_id": _ids("user", num_users)}),
        features=features,
    )
    warnings = write_dataset(target, draft)
    counts = {"users": num_users, "items": num_items, "read": len(draft.interactions)}
    counts |= {"interactions": len(draft.interactions), "cold_items": len(cold)}
    return ImportReport(name, target, counts, 0, tuple(warnings))


def _modality(
    rng: np.random.Generator, num_users: int, num_items: int, num_clusters: int
) -> _Modality:
    centres = rng.standard_normal((num_clusters, LATENT_WIDTH))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    clusters = rng.integers(num_clusters, size=num_items)
    items = centres[clusters] + 0.15 * rng.standard_normal((num_items, LATENT_WIDTH))
    liked = rng.integers(num_clusters, size=(num_users, 2))
    users = centres[liked].mean(axis=1) + 0.1 * rng.standard_normal((num_users, LATENT_WIDTH))
    return _Modality(clusters, items, users)


def _picks(
    rng: np.random.Generator,
    image: _Modality,
    text: _Modality,
    popularity: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(user_rows, item_rows) of all picks: per user the items of highest utility, distinct."""
    num_users, available = len(image.users), int(np.isfinite(popularity).sum())
    counts = np.minimum(5 + rng.pareto(2.2, num_users) * 8.5, min(120, available)).astype(np.int64)
    picked = []
    for start in range(0, num_users, _CHUNK):
        rows = slice(start, start + _CHUNK)
        match = _match(image, rows) + _match(text, rows)
        utility = TASTE_STRENGTH * match + popularity + rng.gumbel(size=match.shape)
        order = np.argsort(-utility, axis=1)[:, : counts.max()]
        picked.append(order[np.arange(order.shape[1]) < counts[rows, None]])
    return np.repeat(np.arange(num_users), counts), np.concatenate(picked)


def _match(modality: _Modality, rows: slice) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = modality.users[rows] @ modality.items.T  # [chunk, num_items]
    scores -= scores.mean(axis=1, keepdims=True)
    scores /= scores.std(axis=1, keepdims=True)
    return scores


def _events(
    rng: np.random.Generator, picks: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> pl.DataFrame:
    users, items = picks
    end = int(END.timestamp() * 1000)
    joined = rng.uniform(0, 0.7, users.max() + 1)[users]
    share = joined + (0.99 - joined) * rng.random(len(users))
    viewed = end - DAYS * _DAY_MS + (share * DAYS * _DAY_MS).astype(np.int64)
    bought = rng.random(len(users)) < PURCHASE_SHARE
    later = viewed + rng.integers(60_000, _DAY_MS, len(users))
    return pl.DataFrame(
        {
            "user": np.concatenate([users, users[bought]]),
            "item": np.concatenate([items, items[bought]]),
            "timestamp": np.concatenate([viewed, later[bought]]),
            "type": ["view"] * len(users) + ["purchase"] * int(bought.sum()),
        }
    ).sort("timestamp", "user", "item")


def _event_table(events: pl.DataFrame, num_users: int, num_items: int) -> pl.DataFrame:
    users, items = (
        pl.Series(_ids(kind, count)) for kind, count in (("user", num_users), ("item", num_items))
    )
    return pl.DataFrame(
        {
            "user_id": users.gather(events["user"]),
            "item_id": items.gather(events["item"]),
            "timestamp": events["timestamp"],
            "type": events["type"],
            "value": pl.repeat(1.0, len(events), dtype=pl.Float32, eager=True),
        }
    )


def _item_table(
    rng: np.random.Generator, looks: NDArray[np.int64], uses: NDArray[np.int64]
) -> pl.DataFrame:
    base = rng.uniform(15, 120, len(USES))[uses] * rng.uniform(0.7, 1.6, len(LOOKS))[looks]
    price = np.round(base * rng.lognormal(0, 0.15, len(looks)), 2)
    return pl.DataFrame(
        {
            "item_id": _ids("item", len(looks)),
            "title": [
                f"{LOOKS[look]} {USES[use][0]} {row + 1}"
                for row, (look, use) in enumerate(zip(looks.tolist(), uses.tolist(), strict=True))
            ],
            "category": [USES[use][1] for use in uses.tolist()],
            "price": price,
        }
    )


def _features(
    rng: np.random.Generator, latents: NDArray[np.float64], width: int
) -> NDArray[np.float32]:
    view = latents @ rng.standard_normal((LATENT_WIDTH, width))
    view += 0.5 * rng.standard_normal(view.shape)
    matrix = view.astype(np.float32)
    matrix[rng.permutation(len(matrix))[: max(1, len(matrix) // 100)]] = np.nan
    return matrix


def _ids(kind: str, count: int) -> list[str]:
    digits = len(str(count))
    return [f"{kind}-{number:0{digits}d}" for number in range(1, count + 1)]

"""Synthetic catalogs of any size: items in clusters, users who like a few of them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.artifact import ArtifactDraft, Block, DatasetRef, Member, write_artifact

WIDTH = 192
NUM_MEMBERS = 3
SEEN_PER_USER = 20
_NOISE = 0.6


CATALOG = "default"


def write_catalog(
    root: Path, num_items: int, num_users: int, *, seed: int = 0, prefix: str = "i"
) -> str:
    """Writes a version of three members of 64 numbers each and returns its name.

    Users are ``u0``, ``u1`` and so on, items the prefix and a number. A user's vector is near those
    of some items, so that an index which sorts items by nearness has what it would have in earnest.
    """
    rng = np.random.default_rng(seed)
    items = _clustered(rng, num_items)
    liked = rng.integers(0, num_items, (num_users, 4))
    users = items[liked].mean(axis=1) + 0.1 * rng.normal(size=(num_users, WIDTH))
    width = WIDTH // NUM_MEMBERS
    draft = ArtifactDraft(
        dataset=DatasetRef(name=f"synthetic-{num_users}-{num_items}", fingerprint="0" * 64),
        split="all",
        ensemble="concat",
        members=[
            Member(model=name, seed=0, weight=1 / NUM_MEMBERS) for name in ("micro", "mgnm", "ease")
        ],
        blocks=[
            Block(name, "learned", number * width, width, 1 / NUM_MEMBERS, zscore=True)
            for number, name in enumerate(("micro", "mgnm", "ease"))
        ],
        users=users.astype(np.float32),
        items=items,
        user_ids=[f"u{number}" for number in range(num_users)],
        item_ids=[f"{prefix}{number}" for number in range(num_items)],
        popularity=np.floor(1e5 / (1 + rng.permutation(num_items).astype(np.float64))),
        seen_indptr=np.arange(0, SEEN_PER_USER * (num_users + 1), SEEN_PER_USER, dtype=np.int64),
        seen_indices=rng.integers(0, num_items, SEEN_PER_USER * num_users, dtype=np.int32),
    )
    return write_artifact(root, CATALOG, draft)


def _clustered(rng: np.random.Generator, num_items: int) -> NDArray[np.float32]:
    # A larger shop has more kinds of items, and more items of a kind.
    centres = rng.normal(size=(max(1, round(num_items**0.5)), WIDTH)).astype(np.float32)
    items = centres[rng.integers(0, len(centres), num_items)]
    items += _NOISE * rng.standard_normal((num_items, WIDTH), dtype=np.float32)
    return items

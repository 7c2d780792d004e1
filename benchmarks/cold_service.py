"""A service that learns of new items while it runs, as the benchmark of cold items needs it."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import httpx
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from mutualrec.valkey import private_valkey
from service.app import create_app
from service.artifact import (
    ArtifactDraft,
    Block,
    DatasetRef,
    Member,
    set_current,
    write_artifact,
)
from service.item_change import ItemChange
from service.settings import Settings
from service.snapshot import Snapshot
from service.state import ServiceState
from training.data.dataset import Dataset
from training.data.splits import Pairs
from training.ensemble import MemberVectors, concat

CATALOG = "default"
TIMED = 25
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Learned:
    """A model's vectors of all users and items, and the pairs that it learned them from."""

    name: str
    users: Tensor
    items: Tensor
    train: Pairs


@dataclass(frozen=True)
class Served:
    """The service with all items, and how long single items took.

    Attributes:
        snapshot: what it answers from.
        rows: [num_items] the dataset's row of every item of the snapshot.
        own_s: seconds from the request to the answer that says recommendable.
        other_s: seconds from the request until another process's service knows the item.
    """

    snapshot: Snapshot
    rows: NDArray[np.int64]
    own_s: tuple[float, ...]
    other_s: tuple[float, ...]


def publish_warm(dataset: Dataset, learned: Learned, warm: NDArray[np.int64], home: Path) -> None:
    """Publish a version that knows the items `warm` and nothing of the others."""
    ensemble = concat([MemberVectors(learned.name, learned.users, learned.items[warm])], [1.0])
    block = ensemble.blocks[0]
    number = np.zeros(dataset.num_items, np.int64)
    number[warm] = np.arange(len(warm))
    indptr, indices = learned.train.to_csr(dataset.num_users)
    categories = [m.source for m in dataset.modalities.values() if m.kind == "categorical"]
    metadata = cast(pa.Table, dataset.metadata.drop("item_id").to_arrow())
    draft = ArtifactDraft(
        dataset=DatasetRef(name=dataset.name, fingerprint=dataset.fingerprint),
        split="cold_items",
        ensemble=ensemble.method,
        members=[Member(model=learned.name)],
        blocks=[Block(block.name, "learned", 0, block.width, block.weight, zscore=True)],
        users=ensemble.users.numpy(),
        items=ensemble.items.numpy(),
        user_ids=dataset.users.ids_tuple,
        item_ids=[dataset.items.ids_tuple[row] for row in warm],
        popularity=np.bincount(number[learned.train.item_rows], minlength=len(warm)).astype(float),
        seen_indptr=indptr,
        seen_indices=number[indices].astype(np.int32),
        item_metadata=metadata.take(warm) if metadata.num_columns else None,
        covariances={block.name: block.covariance.numpy()},
        features={name: _units(matrix[warm]) for name, matrix in dataset.features.items()},
        category_fields=sorted(categories),
    )
    set_current(home / "artifacts", CATALOG, write_artifact(home / "artifacts", CATALOG, draft))


def put_items(dataset: Dataset, cold: NDArray[np.int64], home: Path) -> Served:
    """Serve the version of `home` and put the items `cold`, as any client would."""
    with private_valkey(home / "redis") as url:
        return asyncio.run(_put_items(dataset, cold, home, url))


async def _put_items(dataset: Dataset, cold: NDArray[np.int64], home: Path, url: str) -> Served:
    settings = Settings.load({}, home=home, redis_url=url, index="cpu", redis_timeout_s=5.0)
    async with AsyncExitStack() as stack:
        own, state = await _start(stack, settings)
        async with AsyncExitStack() as others:
            other, _ = await _start(others, settings)
            times = [await _timed(own, other, dataset, int(row)) for row in cold[:TIMED]]
        assert state.items is not None
        assert state.follower is not None
        # What PUT does, but for looking at what is new only when all is written.
        for row in cold[TIMED:]:
            body = _body(dataset, int(row))
            item = ItemChange(
                dataset.items.ids_tuple[row],
                0,
                metadata=body["metadata"],
                features={m: np.array(x, np.float32) for m, x in body["features"].items()},
            )
            assert await state.items.write(CATALOG, item)
        await state.follower.catch_up(CATALOG)
        snapshot = state.catalogs.snapshots[CATALOG]
    row_of = {item_id: row for row, item_id in enumerate(dataset.items.ids_tuple)}
    rows = np.array([row_of[item_id] for item_id in snapshot.artifact.item_ids], np.int64)
    return Served(snapshot, rows, tuple(t for t, _ in times), tuple(t for _, t in times))


async def _start(
    stack: AsyncExitStack, settings: Settings
) -> tuple[httpx.AsyncClient, ServiceState]:
    app = create_app(settings)
    await stack.enter_async_context(app.router.lifespan_context(app))
    transport = httpx.ASGITransport(app)
    client = httpx.AsyncClient(transport=transport, base_url="http://service")
    return await stack.enter_async_context(client), app.state.service


async def _timed(
    own: httpx.AsyncClient, other: httpx.AsyncClient, dataset: Dataset, row: int
) -> tuple[float, float]:
    start = time.perf_counter()
    await _put(own, dataset, row)
    answered = time.perf_counter() - start
    while (await other.get(_path(dataset, row))).status_code != httpx.codes.OK:
        if time.perf_counter() - start > _PATIENCE_S:
            raise TimeoutError(f"another service does not know item {row} after {_PATIENCE_S} s")
        await asyncio.sleep(0.001)
    return answered, time.perf_counter() - start


async def _put(client: httpx.AsyncClient, dataset: Dataset, row: int) -> None:
    response = await client.put(_path(dataset, row), json=_body(dataset, row))
    response.raise_for_status()


# Any: JSON.
def _body(dataset: Dataset, row: int) -> dict[str, Any]:
    features = {
        name: matrix[row].tolist()
        for name, matrix in dataset.features.items()
        if np.isfinite(matrix[row]).all()
    }
    columns = [m.source for m in dataset.modalities.values() if m.kind == "categorical"]
    metadata = dataset.metadata.row(row, named=True)
    return {"features": features, "metadata": {name: metadata[name] for name in columns}}


def _path(dataset: Dataset, row: int) -> str:
    return f"/items/{quote(dataset.items.ids_tuple[row], safe='')}"


def _units(features: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = np.nan_to_num(features, nan=0.0).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


def spread(seconds: Iterable[float]) -> tuple[float, float, float]:
    """Return the median, the least and the greatest."""
    values = sorted(seconds)
    return float(np.median(values)), values[0], values[-1]

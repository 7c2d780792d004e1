"""What an artifact contains, before and after it was on disk, and the checks both sides make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import JsonValue

from service.artifact_content import DailyCounts, check_daily, check_features
from service.errors import ArtifactCorrupt
from service.events import MAX_ID_BYTES
from service.funds.facts import FundFacts, check_facts
from service.manifest import Block, DatasetRef, EncoderRef, Member

_CHUNK_VALUES = 1 << 22


class Contents(Protocol):
    """The arrays and ids that a draft and a loaded artifact have in common."""

    @property
    def blocks(self) -> Sequence[Block]: ...  # noqa: D102
    @property
    def users(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def items(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def user_ids(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def item_ids(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def popularity(self) -> NDArray[np.float64]: ...  # noqa: D102
    @property
    def seen_indptr(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def seen_indices(self) -> NDArray[np.int32]: ...  # noqa: D102
    @property
    def covariances(self) -> Mapping[str, NDArray[np.float32]]: ...  # noqa: D102
    @property
    def factors(self) -> Mapping[str, NDArray[np.float32]]: ...  # noqa: D102
    @property
    def daily(self) -> DailyCounts | None: ...  # noqa: D102
    @property
    def features(self) -> Mapping[str, NDArray[np.float32]]: ...  # noqa: D102
    @property
    def funds(self) -> FundFacts | None: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class ArtifactDraft:
    """Everything of an artifact but its version and its files.

    Attributes:
        users: [U, D] float32, already scaled: ``users[u] @ items[i]`` is the offline score.
        items: [I, D] float32.
        user_ids: U distinct strings of 1-256 UTF-8 bytes; row order of `users`.
        item_ids: I distinct strings of 1-256 UTF-8 bytes; row order of `items`.
        popularity: [I] float64, any scale; larger is more popular.
        seen_indptr: [U + 1] int64, CSR over users of every positive interaction known.
        seen_indices: [nnz] int32 item rows.
        blocks: the members' columns; together exactly ``0 .. D``.
        item_metadata: I rows in item order, or None.
        covariances: block name to [d, d] float32; needed for z-scored ``factors`` blocks.
        factors: block name to [I, d] float32; needed for ``factors`` blocks.
        daily: when the items were popular; None where no event has a time.
        features: modality to [I, d] float32 with rows of length 1, zero for a missing one.
        funds: positions of fund companies; None for catalogs of anything else.
        category_fields: metadata columns whose values are categories.
        encoders: what made the vectors of a modality, where that is known.
        extra_files: file name inside the version folder to the file to copy there.
    """

    dataset: DatasetRef
    split: str
    ensemble: str
    members: Sequence[Member]
    blocks: Sequence[Block]
    users: NDArray[np.float32]
    items: NDArray[np.float32]
    user_ids: Sequence[str]
    item_ids: Sequence[str]
    popularity: NDArray[np.float64]
    seen_indptr: NDArray[np.int64]
    seen_indices: NDArray[np.int32]
    item_metadata: pa.Table | None = None
    covariances: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    factors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    daily: DailyCounts | None = None
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    funds: FundFacts | None = None
    category_fields: Sequence[str] = ()
    encoders: Mapping[str, EncoderRef] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    watermark: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    recipe: Mapping[str, JsonValue] = field(default_factory=dict)
    extra_files: Mapping[str, Path] = field(default_factory=dict)


def check_contents(contents: Contents) -> None:
    """Checks shapes, dtypes, finiteness, ids, blocks and the CSR of a draft or a loaded artifact.

    Raises:
        ArtifactCorrupt: naming the first thing that is wrong, with its values.
    """
    num_users, num_items = len(contents.user_ids), len(contents.item_ids)
    width = sum(block.width for block in contents.blocks)
    _check_blocks(contents.blocks)
    _check_array("users", contents.users, (num_users, width), np.float32)
    _check_array("items", contents.items, (num_items, width), np.float32)
    _check_array("popularity", contents.popularity, (num_items,), np.float64)
    _check_ids("user_ids", contents.user_ids)
    _check_ids("item_ids", contents.item_ids)
    _check_block_tensors(contents, num_items)
    _check_seen(contents, num_users, num_items)
    if contents.daily is not None:
        check_daily(contents.daily, num_items)
    check_features(contents.features, num_items)
    if contents.funds is not None:
        check_facts(contents.funds, num_users, num_items)


def _check_blocks(blocks: Sequence[Block]) -> None:
    if not blocks or len({block.name for block in blocks}) != len(blocks):
        raise ArtifactCorrupt(
            f"blocks need at least one and distinct names, got {[block.name for block in blocks]}"
        )
    expected = 0
    for block in sorted(blocks, key=lambda block: block.offset):
        if block.offset != expected:
            raise ArtifactCorrupt(
                f"block {block.name!r} starts at column {block.offset}, expected {expected};"
                " blocks must lie side by side without gaps"
            )
        if block.parts and sum(part.width for part in block.parts) != block.width:
            raise ArtifactCorrupt(
                f"the parts of block {block.name!r} have"
                f" {sum(part.width for part in block.parts)} columns, the block {block.width}"
            )
        expected += block.width


def _check_array(
    name: str,
    # Any: the element type is what this function checks.
    array: NDArray[Any],
    shape: tuple[int, ...],
    dtype: type[np.generic],
) -> None:
    if array.shape != shape:
        raise ArtifactCorrupt(f"{name} has shape {array.shape}, expected {shape}")
    if array.dtype != np.dtype(dtype):
        raise ArtifactCorrupt(f"{name} has dtype {array.dtype}, expected {np.dtype(dtype)}")
    if not np.issubdtype(array.dtype, np.floating):
        return
    rows = max(1, _CHUNK_VALUES // max(1, array[:1].size))
    for start in range(0, len(array), rows):
        if not np.isfinite(array[start : start + rows]).all():
            raise ArtifactCorrupt(f"{name} holds NaN or infinity; the training diverged")


def _check_ids(name: str, ids: Sequence[str]) -> None:
    if len(set(ids)) != len(ids):
        raise ArtifactCorrupt(f"{name} holds {len(ids) - len(set(ids))} repeated ids")
    for identifier in ids:
        try:
            size_bytes = len(identifier.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise ArtifactCorrupt(f"{name} holds {identifier!r}, which is not UTF-8") from error
        if not 1 <= size_bytes <= MAX_ID_BYTES:
            raise ArtifactCorrupt(
                f"{name} holds {identifier[:40]!r} of {size_bytes} bytes, allowed are 1-256"
            )


def _check_block_tensors(contents: Contents, num_items: int) -> None:
    blocks = {block.name: block for block in contents.blocks}
    unknown = (contents.covariances.keys() | contents.factors.keys()) - blocks.keys()
    if unknown:
        raise ArtifactCorrupt(f"covariances or factors name unknown blocks {sorted(unknown)}")
    for name, block in blocks.items():
        is_factors = block.kind == "factors"
        if is_factors and name not in contents.factors:
            raise ArtifactCorrupt(f"block {name!r} is of kind 'factors' but has no factors tensor")
        if is_factors and block.zscore and name not in contents.covariances:
            raise ArtifactCorrupt(f"block {name!r} is z-scored but has no covariance tensor")
    for name, factors in contents.factors.items():
        _check_array(f"factors.{name}", factors, (num_items, blocks[name].width), np.float32)
    for name, covariance in contents.covariances.items():
        width = blocks[name].width
        _check_array(f"covariance.{name}", covariance, (width, width), np.float32)


def _check_seen(contents: Contents, num_users: int, num_items: int) -> None:
    indptr, indices = contents.seen_indptr, contents.seen_indices
    _check_array("seen_indptr", indptr, (num_users + 1,), np.int64)
    _check_array("seen_indices", indices, (len(indices),), np.int32)
    if indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
        raise ArtifactCorrupt(
            f"seen_indptr must rise from 0 to {len(indices)}, got {indptr[0]} .. {indptr[-1]}"
        )
    if len(indices) and not (indices.min() >= 0 and indices.max() < num_items):
        raise ArtifactCorrupt(
            f"seen_indices must lie in 0..{num_items - 1}, got {indices.min()}..{indices.max()}"
        )

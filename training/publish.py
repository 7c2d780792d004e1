"""From a chosen ensemble to an artifact version that the service can load."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import JsonValue

from service.artifact import (
    ArtifactDraft,
    Block,
    BlockPart,
    DailyCounts,
    DatasetRef,
    EncoderRef,
    Fence,
    Member,
    promote,
    write_artifact,
)
from training.data.dataset import Dataset
from training.data.splits import known_pairs
from training.ensemble import EnsembleBlock
from training.ensemble_folder import ChosenEnsemble, EnsembleMember
from training.fund_facts import read_fund_facts
from training.provenance import code_commit

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Base:
    """The dataset folder that retraining starts from.

    Args:
        folder: The folder.
        fingerprint: Of what lay in it.
        merged: Where the dataset itself lies when it was made of the folder's, which may have been
            replaced since; the folder if None.
    """

    folder: Path
    fingerprint: str
    merged: Path | None = None


def publish(
    dataset: Dataset,
    chosen: ChosenEnsemble,
    root: Path,
    catalog: str,
    *,
    dataset_folder: Path,
    watermark: Mapping[str, str] | None = None,
    base_fingerprint: str | None = None,
    fence: Fence | None = None,
) -> str:
    """Write an artifact version and make it the current one. Returns its name.

    What counts as seen is every positive interaction of the dataset, those of the held-out
    splits included: the user has consumed them, so they must not come back.

    Args:
        dataset: The dataset of the ensemble.
        chosen: The ensemble.
        root: Folder of all catalogs.
        catalog: Catalog to publish in.
        dataset_folder: Where the dataset lies, recorded for retraining.
        watermark: Last stream id per partition that the dataset contains.
        base_fingerprint: Fingerprint of what lies in `dataset_folder`; None when that is the
            dataset itself.
        fence: The lease under which a trainer publishes; None where a human does.

    Raises:
        TrainerFenced: The lease was lost; the version is there, but not current.
        ArtifactError: The vectors cannot be served (not finite, wrong shapes).
    """
    base = Base(dataset_folder, base_fingerprint or dataset.fingerprint)
    draft = draft_version(dataset, chosen, base, watermark or {})
    version = write_artifact(root, catalog, draft)
    promote(root, catalog, version, fence=fence)
    logger.info("published catalog=%s version=%s", catalog, version)
    return version


def draft_version(
    dataset: Dataset, chosen: ChosenEnsemble, base: Base, watermark: Mapping[str, str]
) -> ArtifactDraft:
    """Return what an artifact version of an ensemble holds; see `publish`."""
    known = known_pairs(dataset)
    indptr, indices = known.to_csr(dataset.num_users)
    ensemble = chosen.ensemble
    metrics = {"validation": chosen.validation}
    if chosen.test is not None:
        metrics["test"] = chosen.test
    return ArtifactDraft(
        dataset=DatasetRef(name=dataset.name, fingerprint=dataset.fingerprint),
        split=chosen.split,
        ensemble=ensemble.method,
        members=[_member(member) for member in chosen.members],
        blocks=[_block(block, zscore=ensemble.method == "concat") for block in ensemble.blocks],
        users=ensemble.users.numpy(),
        items=ensemble.items.numpy(),
        user_ids=dataset.users.ids_tuple,
        item_ids=dataset.items.ids_tuple,
        popularity=np.bincount(known.item_rows, minlength=dataset.num_items).astype(np.float64),
        seen_indptr=indptr,
        seen_indices=indices.astype(np.int32),
        item_metadata=cast(pa.Table, dataset.metadata.drop("item_id").to_arrow()),
        covariances={block.name: block.covariance.numpy() for block in ensemble.blocks},
        factors={
            block.name: block.factors.numpy()
            for block in ensemble.blocks
            if block.factors is not None
        },
        daily=_daily_counts(dataset),
        features={name: _unit_rows(matrix) for name, matrix in sorted(dataset.features.items())},
        funds=read_fund_facts(base.merged or base.folder, dataset),
        category_fields=_category_fields(dataset),
        encoders=_encoders(dataset),
        metrics=cast(Mapping[str, Mapping[str, JsonValue]], metrics),
        watermark=dict(watermark),
        commit=code_commit(),
        recipe=_recipe(dataset, chosen, base),
    )


def _daily_counts(dataset: Dataset) -> DailyCounts | None:
    """When the items were popular: every positive event by the weight of its type."""
    events = dataset.interactions
    if events.timestamps is None:
        return None
    weights = np.zeros(len(events), np.float32)
    for name, kind in dataset.event_types.items():
        if kind.sign == "positive":
            weights[events.types == name] = kind.weight
    return DailyCounts.of(events.timestamps, events.item_rows, weights)


def _unit_rows(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1, so that inner products are cosines; a missing row is zero."""
    rows = np.nan_to_num(features, nan=0.0)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (rows / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return unit


def _category_fields(dataset: Dataset) -> list[str]:
    """The columns of the categorical modalities; where there are none, one named ``category``."""
    columns = [m.source for m in dataset.modalities.values() if m.kind == "categorical"]
    if not columns and "category" in dataset.metadata.columns:
        columns = ["category"]
    return sorted(columns)


def _encoders(dataset: Dataset) -> dict[str, EncoderRef]:
    """What made the vectors of the modalities of texts, where `mutualrec encode` did."""
    found = {}
    for name, spec in dataset.modalities.items():
        if spec.encoder is not None and name in dataset.features:
            encoder, _, digest = spec.encoder.rpartition("@")
            found[name] = EncoderRef(name=encoder, digest=digest, column=spec.source)
    return found


def _member(member: EnsembleMember) -> Member:
    return Member(
        model=member.run.model,
        params=cast(dict[str, JsonValue], member.run.params),
        seed=member.run.seed,
        weight=member.weight,
        metrics=cast(dict[str, JsonValue], member.validation),
    )


def _block(block: EnsembleBlock, *, zscore: bool) -> Block:
    return Block(
        name=block.name,
        kind="learned" if block.factors is None else "factors",
        offset=block.offset,
        width=block.width,
        weight=block.weight,
        zscore=zscore,
        parts=tuple(BlockPart(part.modality, part.width) for part in block.parts),
    )


def _recipe(dataset: Dataset, chosen: ChosenEnsemble, base: Base) -> dict[str, JsonValue]:
    """What retraining needs: where the base data lies, and every member's settings."""
    recipe = {
        "dataset_folder": str(base.folder.resolve()),
        "base_fingerprint": base.fingerprint,
        "method": chosen.ensemble.method,
        "members": [asdict(member.run) for member in chosen.members],
        "event_types": {name: asdict(kind) for name, kind in dataset.event_types.items()},
    }
    # A manifest is JSON: tuples become lists here, as they do when it is read back.
    return cast(dict[str, JsonValue], json.loads(json.dumps(recipe)))

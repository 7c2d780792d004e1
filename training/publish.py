"""From a chosen ensemble to an artifact version that the service can load."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
from pydantic import JsonValue

from service.artifact import (
    ArtifactDraft,
    Block,
    DatasetRef,
    Member,
    set_current,
    write_artifact,
)
from training.data.dataset import Dataset
from training.data.splits import Pairs, positive_pairs
from training.ensemble_folder import ChosenEnsemble
from training.provenance import code_commit

logger = logging.getLogger(__name__)


def publish(
    dataset: Dataset,
    chosen: ChosenEnsemble,
    root: Path,
    catalog: str,
    *,
    dataset_folder: Path,
    watermark: Mapping[str, str] | None = None,
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

    Raises:
        ArtifactError: The vectors cannot be served (not finite, wrong shapes).
    """
    positive = positive_pairs(dataset)
    known = Pairs(positive.user_rows, positive.item_rows)
    indptr, indices = known.to_csr(dataset.num_users)
    ensemble = chosen.ensemble
    covariances, factors = {}, {}
    blocks = []
    for block in ensemble.blocks:
        closed_form = block.factors is not None
        blocks.append(
            Block(
                name=block.name,
                kind="factors" if closed_form else "learned",
                offset=block.offset,
                width=block.width,
                weight=block.weight,
                zscore=ensemble.method == "concat",
            )
        )
        covariances[block.name] = block.covariance.numpy()
        if block.factors is not None:
            factors[block.name] = block.factors.numpy()
    metrics = {"validation": chosen.validation}
    if chosen.test is not None:
        metrics["test"] = chosen.test
    draft = ArtifactDraft(
        dataset=DatasetRef(name=dataset.name, fingerprint=dataset.fingerprint),
        split=chosen.split,
        ensemble=ensemble.method,
        members=[
            Member(
                model=member.run.model,
                params=cast(dict[str, JsonValue], member.run.params),
                seed=member.run.seed,
                weight=member.weight,
                metrics=cast(dict[str, JsonValue], member.validation),
            )
            for member in chosen.members
        ],
        blocks=blocks,
        users=ensemble.users.numpy(),
        items=ensemble.items.numpy(),
        user_ids=dataset.users.ids_tuple,
        item_ids=dataset.items.ids_tuple,
        popularity=np.bincount(known.item_rows, minlength=dataset.num_items).astype(np.float64),
        seen_indptr=indptr,
        seen_indices=indices.astype(np.int32),
        item_metadata=cast(pa.Table, dataset.metadata.drop("item_id").to_arrow()),
        covariances=covariances,
        factors=factors,
        metrics=cast(Mapping[str, Mapping[str, JsonValue]], metrics),
        watermark=dict(watermark or {}),
        commit=code_commit(),
        recipe=_recipe(dataset, chosen, dataset_folder),
    )
    version = write_artifact(root, catalog, draft)
    set_current(root, catalog, version)
    logger.info("published catalog=%s version=%s", catalog, version)
    return version


def _recipe(dataset: Dataset, chosen: ChosenEnsemble, dataset_folder: Path) -> dict[str, JsonValue]:
    """What retraining needs: where the base data lies, and every member's settings."""
    recipe = {
        "dataset_folder": str(dataset_folder.resolve()),
        "method": chosen.ensemble.method,
        "members": [asdict(member.run) for member in chosen.members],
        "event_types": {name: asdict(kind) for name, kind in dataset.event_types.items()},
    }
    return cast(dict[str, JsonValue], recipe)

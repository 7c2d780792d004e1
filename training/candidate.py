"""The candidate of a retraining: as it was trained, to be judged, and as it would be published.

What is held out for validation and for the gate was not learned from. When the candidate is
judged, the gate's part is still to come, and it may know nothing of it. When it is published, it
has happened: those interactions then move the users' vectors as new events would.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from service.artifact import (
    Artifact,
    ArtifactDraft,
    load_artifact,
    write_artifact,
)
from training.data.pairs import Pairs
from training.data.splits import known_pairs
from training.files import replacing
from training.gate.holdout import Holdout, minus
from training.gate.serving import Serve, events_of

HOLDOUT = "holdout.safetensors"


def write_as_trained(
    draft: ArtifactDraft, holdout: Holdout, trained: Pairs, root: Path, catalog: str
) -> Artifact:
    """Write and load a candidate that knows what it was trained on, and nothing else.

    Users without a training pair have a zero vector, as what is theirs was never trained: the
    service knows nothing of them.

    Args:
        draft: The candidate, drafted from the whole dataset.
        holdout: What is held out.
        trained: What the members learned from.
        root: Folder to write into; no catalog is served from it.
        catalog: The catalog.
    """
    indptr, indices = trained.to_csr(holdout.dataset.num_users)
    known = np.bincount(holdout.known.item_rows, minlength=holdout.dataset.num_items)
    whole = replace(
        draft,
        users=np.where(np.diff(indptr)[:, None] > 0, draft.users, np.float32(0.0)),
        seen_indptr=indptr,
        seen_indices=indices.astype(np.int32),
        popularity=known.astype(np.float64),
        # Only rankings are asked for.
        features={},
        daily=None,
        funds=None,
    )
    return load_artifact(root, catalog, write_artifact(root, catalog, whole))


def write_as_published(
    draft: ArtifactDraft, as_trained: Artifact, holdout: Holdout, serve: Serve, root: Path
) -> str:
    """Write the candidate with every user moved by what was held out; the holdout is kept in it.

    Args:
        draft: The candidate, drafted from the whole dataset.
        as_trained: What was judged.
        holdout: What is held out.
        serve: What the service makes of a version.
        root: Folder to write into.

    Returns:
        The version.
    """
    dataset, catalog = holdout.dataset, as_trained.manifest.catalog
    trained = Pairs.of(
        np.repeat(np.arange(dataset.num_users), np.diff(as_trained.seen_indptr)),
        as_trained.seen_indices.astype(np.int64),
    )
    held_out = minus(known_pairs(dataset), trained, dataset.num_items)
    user_rows = np.unique(held_out.user_rows)
    users = np.array(as_trained.users)
    users[user_rows] = serve(as_trained).queries(events_of(dataset, user_rows, held_out))
    path = root / HOLDOUT
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = {"user_rows": holdout.pairs.user_rows, "item_rows": holdout.pairs.item_rows}
    with replacing(path) as file:
        save_file({name: torch.from_numpy(rows) for name, rows in pairs.items()}, file)
    whole = replace(draft, users=users, extra_files={HOLDOUT: path})
    return write_artifact(root, catalog, whole)

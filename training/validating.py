"""What a retraining validates on: of every user the newest interaction, and no leak by warm starts.

A training that begins with the parameters of an earlier one must validate on what that one did not
train on, or validation would reward what is remembered. So the earlier one's validation pairs stay,
and only users who are new add their newest pair.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from service.artifact import Artifact
from training.data.dataset import Dataset
from training.data.pairs import Pairs
from training.data.splits import TRAIN, VALIDATION, leave_last_out
from training.files import replacing
from training.gate.holdout import rows_in, seen_pairs
from training.stored import load_tensors

FILE = "validation.safetensors"


def newest_of_users(dataset: Dataset) -> Pairs:
    """Return the newest pair of every user who has three; equal and unknown times are drawn."""
    events = dataset.interactions
    if events.timestamps is None:
        timestamps = np.zeros(len(events), np.int64)
        dataset = replace(dataset, interactions=replace(events, timestamps=timestamps))
    return leave_last_out(dataset, with_test=False).validation


def kept_validation(dataset: Dataset, folder: Path, champion: Artifact) -> Pairs:
    """Return the pairs that the champion validated on, and the newest ones of new users.

    Args:
        dataset: What is learned from now.
        folder: Where the champion's training wrote its validation pairs, in the champion's rows.
        champion: The current version.
    """
    stored = load_tensors(folder / FILE, ("user_rows", "item_rows"))
    users = rows_in(dataset.users, champion.user_ids)[stored["user_rows"].numpy()]
    items = rows_in(dataset.items, champion.item_ids)[stored["item_rows"].numpy()]
    newest = newest_of_users(dataset)
    new = ~np.isin(newest.user_rows, seen_pairs(champion, dataset).user_rows)
    user_rows = np.concatenate([users, newest.user_rows[new]])
    item_rows = np.concatenate([items, newest.item_rows[new]])
    there = (user_rows >= 0) & (item_rows >= 0)
    return Pairs.of(user_rows[there], item_rows[there])


def labelled(dataset: Dataset, validation: Pairs) -> Dataset:
    """Return the dataset with labels, so that the split `retraining` validates on those pairs."""
    events = dataset.interactions
    keys = events.user_rows * np.int64(dataset.num_items) + events.item_rows
    held = validation.user_rows * np.int64(dataset.num_items) + validation.item_rows
    labels = np.where(np.isin(keys, held), VALIDATION, TRAIN).astype(np.int8)
    digest = hashlib.sha256(f"{dataset.fingerprint} validating on ".encode())
    digest.update(held.tobytes())
    return replace(
        dataset,
        interactions=replace(events, labels=labels),
        fingerprint=digest.hexdigest(),
    )


def write_validation(folder: Path, validation: Pairs) -> None:
    """Keep the pairs for the trainings that begin with these parameters."""
    rows = {"user_rows": validation.user_rows, "item_rows": validation.item_rows}
    with replacing(folder / FILE) as draft:
        save_file({name: torch.from_numpy(values) for name, values in rows.items()}, draft)

"""From a dataset and a split to what a model receives: tensors, filled features, neighbours."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from models.inputs import Categories, Inputs, Neighbours
from models.item_graph import category_knn, knn
from training.data.dataset import Dataset
from training.data.splits import Pairs
from training.errors import DataError
from training.files import replacing
from training.stored import load_tensors

logger = logging.getLogger(__name__)

NEIGHBOURS_PER_ITEM = 20
_CACHE_VERSION = "1"


def default_modalities(dataset: Dataset) -> tuple[str, ...]:
    """Return the modalities that have vectors, or the categorical ones if none has; sorted."""
    return tuple(sorted(dataset.features or dataset.codes))


def build_inputs(
    dataset: Dataset,
    train: Pairs,
    modalities: tuple[str, ...] | None = None,
    *,
    cache: Path | None = None,
) -> Inputs:
    """Build the inputs of a model.

    A missing feature row is filled with the mean of the others and has no neighbours. Published
    neighbours are used where the dataset has them; others are computed once and kept in `cache`
    under a hash of the features, k and the code's version. A missing value of a categorical
    modality is a category of its own; neighbours share the item's category, those first that
    share more of the other chosen ones.

    Args:
        dataset: The dataset.
        train: Training pairs.
        modalities: Modalities to use; None is `default_modalities`.
        cache: Folder for computed neighbours; None computes them anew.

    Raises:
        DataError: A modality does not exist, or has neither vectors nor categories; the message
            lists those that do.
    """
    known = {*dataset.features, *dataset.codes}
    chosen = default_modalities(dataset) if modalities is None else modalities
    unknown = sorted(set(chosen) - known)
    if unknown:
        raise DataError(
            f"dataset {dataset.name} has no feature vectors for {', '.join(unknown)}; "
            f"it has them for: {', '.join(sorted(known)) or 'none'}"
        )
    edges = torch.from_numpy(np.stack([train.user_rows, train.item_rows]).astype(np.int64))
    features, neighbours = {}, {}
    categories = {m: _categories(dataset, m) for m in chosen if m in dataset.codes}
    for modality in categories:
        neighbours[modality] = category_knn(categories, modality, NEIGHBOURS_PER_ITEM)
    for modality in chosen:
        if modality in categories:
            continue
        raw = dataset.features[modality]
        features[modality] = torch.from_numpy(_filled(raw))
        published = dataset.neighbours.get(modality)
        if published is not None:
            neighbours[modality] = Neighbours(
                torch.from_numpy(published.indices), torch.from_numpy(published.similarities)
            )
        else:
            neighbours[modality] = _cached_knn(raw, cache)
    return Inputs(dataset.num_users, dataset.num_items, edges, features, neighbours, categories)


def _categories(dataset: Dataset, modality: str) -> Categories:
    codes, count = dataset.codes[modality], len(dataset.categories[modality])
    missing = codes < 0
    codes = np.where(missing, count, codes)
    return Categories(torch.from_numpy(codes), count + int(missing.any()))


def _filled(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    missing = np.isnan(raw).any(axis=1)
    if not missing.any():
        return raw
    if missing.all():
        return np.zeros_like(raw)
    filled = raw.copy()
    filled[missing] = raw[~missing].mean(axis=0, dtype=np.float64).astype(np.float32)
    return filled


def _cached_knn(raw: NDArray[np.float32], cache: Path | None) -> Neighbours:
    # A zero row is similar to nothing, so an item without features joins no one.
    features = np.nan_to_num(raw, nan=0.0)
    if cache is None:
        return knn(torch.from_numpy(features), NEIGHBOURS_PER_ITEM)
    key = hashlib.sha256(f"{_CACHE_VERSION} {NEIGHBOURS_PER_ITEM} {features.shape} ".encode())
    key.update(np.ascontiguousarray(features).tobytes())
    path = cache / f"knn-{key.hexdigest()[:32]}.safetensors"
    if path.exists():
        stored = load_tensors(path, ("indices", "similarities"))
        return Neighbours(stored["indices"], stored["similarities"])
    found = knn(torch.from_numpy(features), NEIGHBOURS_PER_ITEM)
    cache.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        save_file({"indices": found.indices, "similarities": found.similarities}, draft)
    logger.info("knn cached file=%s items=%d", path.name, len(features))
    return found

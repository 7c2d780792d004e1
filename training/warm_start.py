"""Beginning a training with the parameters of an earlier one, matched by id."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.params import ItemRows, UserRows
from models.recommender import Recommender
from service.artifact import Artifact
from service.events import digest_of
from training.data.dataset import Dataset
from training.data.forgetting import ErasedAt
from training.run_folder import RunFolder
from training.stored import read_record, write_json

RECORD = "trained.json"


@dataclass(frozen=True)
class WarmStart:
    """The parameters of an earlier training, and which users and items its rows were."""

    state: Mapping[str, Tensor]
    user_ids: Sequence[str]
    item_ids: Sequence[str]


@dataclass(frozen=True)
class TrainedRuns:
    """`trained.json` in a retraining's folder.

    Args:
        version: The version that came out of it.
        warm_runs: How many trainings in a row have begun with the parameters of the one before.
        categories: Hash of the categories of the dataset, whose order tables depend on.
    """

    version: str
    warm_runs: int
    categories: str


def record_runs(folder: Path, version: str, warm_runs: int, dataset: Dataset) -> None:
    """Say which version the runs in a folder have become."""
    record = TrainedRuns(version, warm_runs, _categories(dataset))
    write_json(folder / RECORD, asdict(record))


def find_runs(workspace: Path, version: str) -> Path | None:
    """Return the folder of the retraining that a version came out of, None if it is gone."""
    for path in sorted(workspace.glob(f"*/{RECORD}")):
        if read_record(path, TrainedRuns).version == version:
            return path.parent
    return None


def warm_runs_after(folder: Path | None, dataset: Dataset, full_every: int) -> int:
    """Return how many warm trainings in a row the next one makes; 0 is a full training.

    Args:
        folder: What `find_runs` found for the current version.
        dataset: What is learned from now.
        full_every: Every how many trainings one begins anew.
    """
    if folder is None:
        return 0
    record = read_record(folder / RECORD, TrainedRuns)
    if record.categories != _categories(dataset):
        return 0
    return (record.warm_runs + 1) % full_every


def warm_start(
    run: RunFolder, champion: Artifact, erased: tuple[ErasedAt, ErasedAt] = ({}, {})
) -> WarmStart | None:
    """Return the parameters of a run that the champion was made of; None if it has none.

    Args:
        run: A member's run.
        champion: The version that came out of it.
        erased: Users and items that were erased at some time: those that came back begin anew.
    """
    state = run.model_state()
    if not state:
        return None
    users, items = erased
    return WarmStart(state, _without(champion.user_ids, users), _without(champion.item_ids, items))


@torch.no_grad()
def carry_over(model: Recommender, warm: WarmStart, dataset: Dataset) -> int:
    """Give a model the parameters of an earlier one of the same kind.

    Rows of users and items are matched by id: new ones keep their initial values, as do those
    that were never trained (zero rows), and removed ones are gone. Other parameters are taken
    over when their shape is the same. Buffers are not: they are made from the data.

    Returns:
        How many parameters were taken over.
    """
    rows = {
        UserRows: _matching(warm.user_ids, dataset.users.ids_tuple),
        ItemRows: _matching(warm.item_ids, dataset.items.ids_tuple),
    }
    count = 0
    for name, parameter in model.named_parameters():
        earlier = warm.state.get(name)
        if earlier is None:
            continue
        if isinstance(parameter, UserRows | ItemRows):
            if earlier.shape[1:] != parameter.shape[1:]:
                continue
            old, new = rows[type(parameter)]
            _copy_rows(parameter, earlier[old], new)
        elif earlier.shape == parameter.shape:
            parameter.copy_(earlier)
        else:
            continue
        count += 1
    return count


def _without(ids: Sequence[str], erased: ErasedAt) -> Sequence[str]:
    """The ids, empty for erased ones: nobody has that id."""
    if not erased:
        return ids
    return ["" if digest_of(name) in erased else name for name in ids]


def _copy_rows(parameter: nn.Parameter, values: Tensor, rows: Tensor) -> None:
    trained = values.reshape(len(values), -1).any(dim=1)
    parameter[rows[trained].to(parameter.device)] = values[trained].to(parameter.device)


def _matching(earlier: Sequence[str], now: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The rows that the ids of both have before and now."""
    row_of = {name: row for row, name in enumerate(earlier)}
    both = [(row_of[name], row) for row, name in enumerate(now) if name in row_of]
    pairs = torch.tensor(both, dtype=torch.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _categories(dataset: Dataset) -> str:
    content = json.dumps(dataset.categories, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]

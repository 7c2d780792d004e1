"""The data of fund companies as they were after one quarter, and a version that learned from them.

What came later is left out of everything: reports, the companies that nobody had reported yet, the
funds that had not begun to file. A restatement counts for the quarter it restates.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from service.artifact import current_version
from training.config import RunConfig
from training.data.dataset import DatasetDraft, read_dataset, read_draft, write_dataset
from training.data.tables import read_table
from training.ensemble import Method
from training.ensemble_folder import build_ensemble
from training.errors import DataError
from training.files import taking
from training.fund_facts import FOLDER, MANAGERS, POSITIONS, quarter_of, read_positions
from training.publish import publish
from training.run_folder import RunFolder
from training.runs import resolve, train_run
from training.trainer import EpochReport

logger = logging.getLogger(__name__)

SPLIT = "leave_last_out_validation"
CATALOG = "funds"
_DAY_MS = 86_400_000

Progress = Callable[[str, int, str], AbstractContextManager[Callable[[EpochReport], None]]]


@dataclass(frozen=True)
class PastVersion:
    """A version that knows nothing of what came after a quarter: catalog ``funds`` in a folder."""

    artifacts: Path
    version: str


def learn_until(
    dataset_folder: Path,
    last: date,
    members: Sequence[RunConfig],
    workspace: Path,
    *,
    method: Method = "concat",
    cache: Path | None = None,
    device: str = "cpu",
    progress: Progress,
) -> PastVersion:
    """Return a version that was trained on the reports of the quarters up to one.

    It lies in a folder of the workspace named after all it depends on: data, quarter, settings.
    One that is there is used again; one that was interrupted continues.

    Args:
        dataset_folder: Dataset of fund companies, left as it is.
        last: Last day of the newest quarter to learn from.
        members: What to train; every fund's newest purchase validates, as in retraining.
        workspace: Folder of such versions.
        method: How the members are combined.
        cache: Folder of computed neighbours.
        device: What to train on.
        progress: Opens a progress display for (name, epochs, metric).

    Raises:
        DataError: The data cannot be learned from, or a setting does not fit.
        TrainingDiverged: A member's loss is not finite.
    """
    runs = [replace(member, split=SPLIT, split_seed=0) for member in members]
    folder = workspace / f"{quarter_of(last)}-{_key(dataset_folder, last, runs, method)}"
    artifacts = folder / "artifacts"
    with taking(folder, wait=True):
        version = current_version(artifacts, CATALOG)
        if version is not None:
            return PastVersion(artifacts, version)
        data = folder / "dataset"
        if not (data / "dataset.toml").exists():
            cut_dataset(dataset_folder, last, data)
        dataset = read_dataset(data)
        trained = []
        for number, run in enumerate([resolve(run, dataset) for run in runs]):
            # The number keeps members of one model with different settings apart.
            path = RunFolder(folder / "runs" / f"{number}-{run.model}")
            with progress(run.model, run.training.max_epochs, run.training.metric) as report:
                train_run(dataset, run, path, cache=cache, device=device, report=report)
            trained.append(path)
        chosen = build_ensemble(dataset, trained, folder / "ensemble", method=method)
        version = publish(dataset, chosen, artifacts, CATALOG, dataset_folder=data)
    return PastVersion(artifacts, version)


def cut_dataset(dataset_folder: Path, last: date, target: Path) -> None:
    """Write the dataset as it was when the reports of a quarter had come in.

    Events are made of the positions; events of other sources have no quarter and are left out.
    Published neighbours are left out too, because they may lead to companies of later.

    Args:
        dataset_folder: Dataset of fund companies, left as it is.
        last: Last day of the newest quarter that stays.
        target: Folder of the new dataset.

    Raises:
        DataError: Nobody reported that early.
    """
    path = dataset_folder / FOLDER
    positions = read_positions(dataset_folder).filter(pl.col("quarter") <= last)
    if positions.is_empty():
        raise DataError(f"{path / POSITIONS} has no position of {quarter_of(last)} or before")
    managers = None
    if (path / MANAGERS).exists():
        known = positions.select("fund_id").unique()
        managers = read_table(path / MANAGERS).join(known, on="fund_id", how="semi")

    def funds(folder: Path) -> None:
        (folder / FOLDER).mkdir()
        positions.write_parquet(folder / FOLDER / POSITIONS)
        if managers is not None:
            managers.write_parquet(folder / FOLDER / MANAGERS)

    write_dataset(target, _only(read_draft(dataset_folder), positions), also=funds)


def _only(draft: DatasetDraft, positions: pl.DataFrame) -> DatasetDraft:
    items = draft.items.with_row_index("_row").join(
        positions.select(item_id="company_id").unique(),
        on="item_id",
        how="semi",
        maintain_order="left",
    )
    rows = items["_row"].to_numpy().astype(np.int64)
    users = draft.users
    if users is not None:
        reported = positions.select(user_id="fund_id").unique()
        users = users.join(reported, on="user_id", how="semi", maintain_order="left")
    return replace(
        draft,
        modalities={name: replace(m, neighbours=None) for name, m in draft.modalities.items()},
        interactions=positions.select(
            user_id="fund_id",
            item_id="company_id",
            timestamp=pl.col("filed").cast(pl.Int32).cast(pl.Int64) * _DAY_MS,
            type="change",
            value=pl.col("share").cast(pl.Float32),
        ).sort("timestamp", "user_id", "item_id"),
        items=items.drop("_row"),
        users=users,
        features={name: matrix[rows] for name, matrix in draft.features.items()},
        neighbours={},
    )


def _key(dataset_folder: Path, last: date, runs: Sequence[RunConfig], method: Method) -> str:
    positions = (dataset_folder / FOLDER / POSITIONS).read_bytes()
    content = [
        read_dataset(dataset_folder).fingerprint,
        hashlib.sha256(positions).hexdigest(),
        str(last),
        method,
        [asdict(run) for run in runs],
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

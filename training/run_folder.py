"""The folder of one training run: settings, checkpoints, the metrics log, the result."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from models.inputs import Embeddings
from training.checkpoint import Checkpoint
from training.config import RunConfig
from training.errors import DataError
from training.files import replace_text, replacing
from training.parts import Part
from training.stored import load_tensors, read_record, write_json
from training.trainer import EpochReport


@dataclass(frozen=True)
class StartedRun:
    """`config.json`: a run's settings and the fingerprint of its dataset."""

    run: RunConfig
    dataset: str


@dataclass(frozen=True)
class RunResult:
    """`result.json`: the outcome of a finished run; metrics are those of the validation split.

    `commit` is the state of the code that trained it, empty where that is not known; `parts` are
    the modalities that columns of the vectors belong to, none where they are mixed;
    `component_weights` were chosen on validation for a model that asks for them.
    """

    best_epoch: int
    num_epochs: int
    seconds: float
    validation: dict[str, float]
    commit: str = ""
    parts: tuple[Part, ...] = ()
    component_weights: tuple[float, ...] = ()


class RunFolder:
    """Files of a run.

    `config.json` the resolved settings, `metrics.jsonl` a line per epoch, `checkpoint.safetensors`
    the state to resume from, `embeddings.safetensors` and `result.json` the outcome,
    `model.safetensors` the state of the trained model, `curves.png` the picture of its epochs if
    there were any, `test.json` and `test-users.safetensors` the one look at the test split.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def start(self, config: RunConfig, fingerprint: str) -> None:
        """Create the folder, or check that the run in it is this one.

        Raises:
            DataError: It holds a run with other settings or other data.
        """
        wanted = {"run": asdict(config), "dataset": fingerprint}
        path = self.path / "config.json"
        if not path.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(path, wanted)
            return
        # Read as settings, so that a run of before a setting existed has its default.
        found = json.loads(json.dumps(asdict(self._started())))
        if found != json.loads(json.dumps(wanted)):
            different = sorted(_differences(found, json.loads(json.dumps(wanted))))
            raise DataError(
                f"{self.path} holds a run with other settings ({', '.join(different)}); "
                "give this run another name, or delete the folder"
            )

    def config(self) -> RunConfig:
        """Return the settings of the run.

        Raises:
            DataError: There is no run here, or its settings are damaged.
        """
        return self._started().run

    def fingerprint(self) -> str:
        """Return the fingerprint of the dataset the run was trained on.

        Raises:
            DataError: There is no run here, or its settings are damaged.
        """
        return self._started().dataset

    def _started(self) -> StartedRun:
        path = self.path / "config.json"
        if not path.exists():
            raise DataError(f"{self.path} is no training run; run `mutualrec train` first")
        return read_record(path, StartedRun)

    @property
    def finished(self) -> bool:
        """True when the run has a result."""
        return (self.path / "result.json").exists()

    def result(self) -> RunResult:
        """Return the result.

        Raises:
            DataError: The run has not finished, or its result is damaged.
        """
        if not self.finished:
            raise DataError(f"the run in {self.path} has not finished; run `mutualrec train` again")
        return read_record(self.path / "result.json", RunResult)

    def load_checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint and drop the log lines that came after it."""
        path = self.path / "checkpoint.safetensors"
        found = Checkpoint.load(path) if path.exists() else None
        log = self.path / "metrics.jsonl"
        if log.exists():
            last = -1 if found is None else found.epoch
            lines = [line for line in log.read_text().splitlines() if _epoch_of(line) <= last]
            replace_text(log, "".join(f"{line}\n" for line in lines))
        return found

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint."""
        checkpoint.save(self.path / "checkpoint.safetensors")

    def append_report(self, report: EpochReport) -> None:
        """Add a line to `metrics.jsonl`."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(asdict(report)) + "\n")

    def reports(self) -> list[dict[str, object]]:
        """Return the lines of `metrics.jsonl`."""
        log = self.path / "metrics.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def finish(
        self,
        vectors: Embeddings,
        factors: torch.Tensor | None,
        result: RunResult,
        state: Mapping[str, torch.Tensor],
    ) -> None:
        """Write embeddings, state and result; the checkpoint is no longer needed and goes."""
        tensors = {
            "users": vectors.users.detach().cpu().float().contiguous(),
            "items": vectors.items.detach().cpu().float().contiguous(),
        }
        if factors is not None:
            tensors["factors"] = factors.detach().cpu().float().contiguous()
        with replacing(self.path / "embeddings.safetensors") as draft:
            save_file(tensors, draft)
        if state:
            with replacing(self.path / "model.safetensors") as draft:
                save_file({name: t.detach().cpu().clone() for name, t in state.items()}, draft)
        write_json(self.path / "result.json", asdict(result))
        (self.path / "checkpoint.safetensors").unlink(missing_ok=True)

    def embeddings(self) -> dict[str, torch.Tensor]:
        """Return `users` [U, D], `items` [I, D] and, for closed forms, `factors` [I, D].

        Raises:
            DataError: The run has not finished, or its files are damaged.
        """
        self.result()
        return load_tensors(self.path / "embeddings.safetensors", ("users", "items"))

    def model_state(self) -> dict[str, torch.Tensor]:
        """Return the state of the trained model; empty when it has none, or none was kept.

        Raises:
            DataError: The file is damaged.
        """
        path = self.path / "model.safetensors"
        return load_tensors(path, ()) if path.exists() else {}


def finished_runs(folder: Path) -> list[RunFolder]:
    """Return the finished runs in a folder, sorted by name.

    Raises:
        DataError: There is none.
    """
    runs = [RunFolder(path.parent) for path in sorted(folder.glob("*/result.json"))]
    if not runs:
        raise DataError(f"{folder} holds no finished run; run `mutualrec train` first")
    return runs


def _epoch_of(line: str) -> float:
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, KeyError):
        # The line was cut off by the kill that the run resumes from.
        return float("inf")


def _differences(found: object, wanted: object, prefix: str = "") -> set[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        return {
            name
            for key in {*found, *wanted}
            for name in _differences(found.get(key), wanted.get(key), f"{prefix}{key}.")
        }
    return set() if found == wanted else {prefix.rstrip(".")}

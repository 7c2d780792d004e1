"""The state of an interrupted training run in one safetensors file."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from training.errors import DataError
from training.files import replacing

_PARTS = ("model", "best_model", "optimizer", "strategy")


@dataclass(frozen=True)
class Checkpoint:
    """State after an evaluated epoch.

    Args:
        epoch: Last epoch done, -1 before the first.
        best_epoch: Epoch of the best validation metric, -1 when there is none.
        best: The best value of that metric, -1 when there is none.
        stale: Evaluations since the best one.
        seconds: Training time spent so far.
        model: State of the model, on the CPU.
        best_model: State of the model at the best epoch, on the CPU.
        optimizer: Named moments of the optimizer.
        strategy: Named state of the training strategy.
    """

    epoch: int
    best_epoch: int
    best: float
    stale: int
    seconds: float
    model: dict[str, Tensor]
    best_model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    strategy: dict[str, Tensor] = field(default_factory=dict)

    def advanced(self, epoch: int) -> "Checkpoint":
        """Return the same state at a later, not evaluated epoch."""
        return replace(self, epoch=epoch)

    def save(self, path: Path) -> None:
        """Write the file in one step: it is complete or not there."""
        tensors = {
            f"{part}/{name}": value.contiguous()
            for part in _PARTS
            for name, value in getattr(self, part).items()
        }
        # safetensors refuses tensors that share memory, as the best model does when it is new.
        tensors = {
            name: value.clone() if name.startswith("best_model/") else value
            for name, value in tensors.items()
        }
        numbers = {
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best": self.best,
            "stale": self.stale,
            "seconds": self.seconds,
        }
        with replacing(path) as draft:
            save_file(tensors, draft, metadata={"progress": json.dumps(numbers)})

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint.

        Raises:
            DataError: The file is not a checkpoint; the message says how to start anew.
        """
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
        try:
            with safe_open(path, framework="pt") as file:
                numbers = json.loads(file.metadata()["progress"])
                for key in file.keys():  # noqa: SIM118  # a handle, not a mapping
                    part, name = key.split("/", 1)
                    parts[part][name] = file.get_tensor(key)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path} is not a checkpoint ({error}); delete it to start anew"
            ) from error
        return cls(
            epoch=int(numbers["epoch"]),
            best_epoch=int(numbers["best_epoch"]),
            best=float(numbers["best"]),
            stale=int(numbers["stale"]),
            seconds=float(numbers["seconds"]),
            **parts,
        )

"""Where everything lies under the home folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """Folders under `home`: runs, ensembles, artifacts, the event log, caches, private Valkey."""

    home: Path

    def run(self, dataset: str, name: str) -> Path:
        """Folder of a training run."""
        return self.runs(dataset) / name

    def runs(self, dataset: str) -> Path:
        """Folder of all training runs on a dataset."""
        return self.home / "runs" / dataset

    def ensemble(self, dataset: str, name: str) -> Path:
        """Folder of an ensemble."""
        return self.home / "ensembles" / dataset / name

    @property
    def artifacts(self) -> Path:
        """Folder of all catalogs' artifact versions."""
        return self.home / "artifacts"

    @property
    def cache(self) -> Path:
        """Folder of things that can be computed again."""
        return self.home / "cache"

    @property
    def valkey(self) -> Path:
        """Folder of the private Valkey server's data."""
        return self.home / "redis"

    @property
    def events(self) -> Path:
        """Folder of the event log of all catalogs."""
        return self.home / "events"

    def retraining(self, catalog: str) -> Path:
        """Folder of the retraining runs of a catalog."""
        return self.home / "retraining" / catalog

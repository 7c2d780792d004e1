"""Where everything lies under the home folder."""

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


class WorkspaceNameInvalid(ValueError):
    """A run, an ensemble or a dataset has a name that could leave its folder."""


@dataclass(frozen=True)
class Workspace:
    """Folders under `home`: runs, ensembles, artifacts, the event log, caches, private Valkey."""

    home: Path

    def run(self, dataset: str, name: str) -> Path:
        """Folder of a training run.

        Raises:
            WorkspaceNameInvalid: A name is not allowed.
        """
        return self.runs(dataset) / _checked(name)

    def runs(self, dataset: str) -> Path:
        """Folder of all training runs on a dataset."""
        return self.home / "runs" / _checked(dataset)

    def ensemble(self, dataset: str, name: str) -> Path:
        """Folder of an ensemble.

        Raises:
            WorkspaceNameInvalid: A name is not allowed.
        """
        return self.home / "ensembles" / _checked(dataset) / _checked(name)

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

    @property
    def fund_quarters(self) -> Path:
        """Folder of versions that know the filings up to a quarter, for reports on funds."""
        return self.home / "fund-quarters"

    def retraining(self, catalog: str) -> Path:
        """Folder of the retraining runs of a catalog."""
        return self.home / "retraining" / catalog


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise WorkspaceNameInvalid(
            f"{name!r} is no name of a run, an ensemble or a dataset; use 1-100 letters, digits, "
            "'.', '_', '+' or '-', a letter or digit first"
        )
    return name

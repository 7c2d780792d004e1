"""Keys of a catalog's training; one hash tag, so that a script may use them together.

* ``mr:<catalog>:{training}:lease``    token and owner of the trainer at work; it expires
* ``mr:<catalog>:{training}:token``    token and owner of the newest trainer; never expires
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingKeys:
    """The keys of one catalog."""

    catalog: str

    @property
    def lease(self) -> str:
        """Who trains now."""
        return f"mr:{self.catalog}:{{training}}:lease"

    @property
    def token(self) -> str:
        """Who began last."""
        return f"mr:{self.catalog}:{{training}}:token"

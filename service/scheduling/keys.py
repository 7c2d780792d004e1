"""Keys of a catalog's training; one hash tag, so that a script may use them together.

* ``mr:<catalog>:{training}:lease``    token and owner of the trainer at work; it expires
* ``mr:<catalog>:{training}:token``    token and owner of the newest trainer; never expires
* ``mr:<catalog>:{training}:run``      hash: what the newest trainer did or is doing
* ``mr:<catalog>:{training}:request``  hash: the newest wish that the catalog be trained now
* ``mr:<catalog>:{training}:schedule`` what a scheduler will do next; expires with the scheduler
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingKeys:
    """The keys of one catalog."""

    catalog: str

    @property
    def lease(self) -> str:
        """Who trains now."""
        return self._key("lease")

    @property
    def token(self) -> str:
        """Who began last."""
        return self._key("token")

    @property
    def run(self) -> str:
        """What the newest trainer did."""
        return self._key("run")

    @property
    def request(self) -> str:
        """Who wants a training now."""
        return self._key("request")

    @property
    def schedule(self) -> str:
        """When the next training is due."""
        return self._key("schedule")

    def _key(self, name: str) -> str:
        return f"mr:{self.catalog}:{{training}}:{name}"

"""Which arm somebody is in, and what the arm changes."""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidParameter
from service.experiments.definition import ArmBody, Experiment
from service.experiments.ids import Origin, new_id
from service.filters.syntax import Every, Expression, Some
from service.rules import Rules
from service.snapshot import Snapshot

logger = logging.getLogger(__name__)

_RANGE = 2**64


@dataclass(frozen=True, eq=False)
class Arm:
    """One arm of a running experiment.

    Attributes:
        experiment: the experiment's name.
        name: the arm's.
        number: the experiment's in recommendation ids.
        index: the arm's in recommendation ids.
        version: the version that answers; None for the catalog's.
        weights: factors on the blocks' weights.
        rules: hold beside those of the request; None for none.
    """

    experiment: str
    name: str
    number: int
    index: int
    version: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    rules: Rules | None = None

    @property
    def names(self) -> dict[str, str]:
        """What an answer says of its arm."""
        return {"experiment": self.experiment, "arm": self.name}

    def weighed(
        self, snapshot: Snapshot, query: NDArray[np.float32] | None
    ) -> NDArray[np.float32] | None:
        """The query [D] with the arm's weights; None when they leave nothing of it."""
        if query is None or not self.weights:
            return query
        weighed = query.copy()
        for block in snapshot.artifact.blocks:
            weighed[block.columns] *= np.float32(self.weights.get(block.name, 1.0))
        return weighed if weighed.any() else None

    def check(self, snapshot: Snapshot) -> None:
        """Checks that the arm makes sense for a version.

        Raises:
            InvalidParameter: it has other blocks, or other fields of the items.
        """
        blocks = [block.name for block in snapshot.artifact.blocks]
        unknown = sorted(set(self.weights) - set(blocks))
        if unknown:
            raise InvalidParameter(
                f"arm {self.name!r}: there is no block {unknown[0]!r} in version"
                f" {snapshot.version}; its blocks are: {', '.join(blocks)}"
            )
        if all(self.weights.get(block, 1.0) == 0 for block in blocks):
            raise InvalidParameter(f"arm {self.name!r}: the weights leave no block to rank by")
        if self.rules is not None:
            _check_rules(self, self.rules, snapshot)


class Running:
    """A running experiment: whoever is in it is always in the same arm."""

    def __init__(self, experiment: Experiment) -> None:
        """Reads the arms' rules.

        Raises:
            FilterError: a filter cannot be understood.
        """
        self.name = experiment.name
        self.number = experiment.number
        self.arms = [_arm(experiment, index, body) for index, body in enumerate(experiment.arms)]
        self._edges = [*accumulate(arm.share for arm in experiment.arms)]
        if experiment.takes_everybody:
            self._edges[-1] = 1.0
        self._fitting: dict[str, bool] = {}

    @property
    def versions(self) -> set[str]:
        """The versions that arms serve."""
        return {arm.version for arm in self.arms if arm.version is not None}

    def arm_of(self, unit: str) -> Arm | None:
        """The arm of a user or session; None for one who stays outside."""
        place = place_of(self.name, unit)
        for arm, edge in zip(self.arms, self._edges, strict=True):
            if place < edge:
                return arm
        return None

    def fits(self, snapshot: Snapshot, further: Callable[[str], Snapshot | None]) -> bool:
        """Whether every arm can be served while `snapshot` is the catalog's version.

        If one cannot, none is: the others' users would be compared with nobody.
        """
        fits = self._fitting.get(snapshot.version)
        if fits is None:
            fits = self._fitting[snapshot.version] = self._check(snapshot, further)
        return fits

    def _check(self, snapshot: Snapshot, further: Callable[[str], Snapshot | None]) -> bool:
        try:
            for arm in self.arms:
                served = snapshot if arm.version is None else further(arm.version)
                if served is None:
                    raise InvalidParameter(f"version {arm.version} is not loaded")
                arm.check(served)
        except InvalidParameter as error:
            logger.error(
                "experiment=%s rests while version=%s is served: %s",
                self.name,
                snapshot.version,
                error.detail,
            )
            return False
        return True


def place_of(experiment: str, unit: str) -> float:
    """Where in [0, 1) somebody stands in an experiment: the same in every process, for ever."""
    content = f"{experiment}\0{unit}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest()) / _RANGE


def recommendation_id(arm: Arm | None) -> str:
    """A new id for an answer of now, by which events are attributed to the arm that gave it."""
    now_s = int(time.time())
    return new_id(Origin(now_s) if arm is None else Origin(now_s, arm.number, arm.index))


def combined(given: Rules | None, arm: Rules | None) -> Rules | None:
    """What holds when both do; the request's diversity goes before the arm's."""
    if given is None or arm is None:
        return given or arm
    includes = [rules.include for rules in (given, arm) if rules.include is not None]
    return replace(
        given,
        filter=_joined(Every, [given.filter, arm.filter]),
        include=frozenset.intersection(*includes) if includes else None,
        exclude=given.exclude | arm.exclude,
        boosts=given.boosts + arm.boosts,
        bury=_joined(Some, [given.bury, arm.bury]),
        caps=given.caps + arm.caps,
        diversity=given.diversity or arm.diversity,
    )


def _joined(
    kind: type[Every] | type[Some], parts: Sequence[Expression | None]
) -> Expression | None:
    given = [part for part in parts if part is not None]
    return kind(tuple(given)) if len(given) > 1 else next(iter(given), None)


def _arm(experiment: Experiment, index: int, body: ArmBody) -> Arm:
    return Arm(
        experiment=experiment.name,
        name=body.name,
        number=experiment.number,
        index=index,
        version=body.version,
        weights=body.weights,
        rules=body.rules.rules(),
    )


def _check_rules(arm: Arm, rules: Rules, snapshot: Snapshot) -> None:
    for expression in (rules.filter, rules.bury, *(boost.items for boost in rules.boosts)):
        if expression is not None:
            snapshot.columns.allowed(expression)
    unknown = sorted({cap.field for cap in rules.caps} - set(snapshot.columns.fields))
    if unknown:
        raise InvalidParameter(
            f"arm {arm.name!r}: caps: there is no field {unknown[0]!r}; fields are:"
            f" {', '.join(sorted(snapshot.columns.fields)) or 'none'}"
        )

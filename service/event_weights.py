"""How much an event counts: by its type, and less as it ages."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from pydantic import JsonValue

from service.errors import ArtifactCorrupt

_DAY_MS = 86_400_000


@dataclass(frozen=True)
class EventWeight:
    """The weight of a new event of a type, and the days after which it counts half."""

    weight: float = 1.0
    half_life_days: float | None = None

    def at_age(self, age_ms: int) -> float:
        """The weight of an event that is `age_ms` old; one from the future counts as new."""
        if self.half_life_days is None or age_ms <= 0:
            return self.weight
        halvings = age_ms / (self.half_life_days * _DAY_MS)
        return self.weight * math.exp2(-halvings)


_ONE = EventWeight()


def read_event_weight(where: str, settings: Mapping[str, JsonValue]) -> EventWeight:
    """The weight that a recipe gives an event type.

    Raises:
        ArtifactCorrupt: a value makes no sense.
    """
    weight, half_life = settings.get("weight", 1.0), settings.get("half_life_days")
    if not _is_number(weight) or weight < 0:
        raise ArtifactCorrupt(f"{where} has weight {weight!r}, allowed is a finite number >= 0")
    if half_life is None:
        return EventWeight(float(weight))
    if not _is_number(half_life) or half_life <= 0:
        raise ArtifactCorrupt(f"{where} has half_life_days {half_life!r}, allowed are days > 0")
    return EventWeight(float(weight), float(half_life))


def weight_of(types: Mapping[str, int], weights: Mapping[str, EventWeight], now_ms: int) -> float:
    """How much an item counts that had these events.

    The strongest event counts, the others do not add: in training, too, an item is one pair.

    Args:
        types: event type to epoch ms of its newest event.
        weights: event type to its weight; others count 1.
        now_ms: epoch ms.
    """
    counted = [weights.get(name, _ONE).at_age(now_ms - at) for name, at in types.items()]
    return counted[0] if len(counted) == 1 else max(counted, default=1.0)


def _is_number(value: JsonValue) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

"""What a user or a session did lately, item by item."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

PastEvent = tuple[bool, str, str, int]
"""Whether it is positive, type, item id, epoch ms."""


class HistoryItem(NamedTuple):
    """An item the user had to do with since the history began.

    Attributes:
        item_id: any id.
        positive: the sign of the newest event.
        timestamp: epoch ms of the newest event.
        types: event type to epoch ms of its newest event; of the events with the newest sign.
    """

    item_id: str
    positive: bool
    timestamp: int
    types: Mapping[str, int] = MappingProxyType({})


def history_of(events: Iterable[PastEvent]) -> list[HistoryItem]:
    """One entry per item, those first that were first met; the newest event's sign holds.

    Args:
        events: oldest first.
    """
    items: dict[str, HistoryItem] = {}
    for positive, event_type, item_id, timestamp in events:
        known = items.get(item_id)
        if known is None or known.positive is not positive:
            items[item_id] = HistoryItem(item_id, positive, timestamp, {event_type: timestamp})
        else:
            types = {**known.types, event_type: timestamp}
            items[item_id] = HistoryItem(item_id, positive, max(types.values()), types)
    return list(items.values())


def merged(*histories: Iterable[HistoryItem]) -> list[HistoryItem]:
    """Several histories as one, such as a user's and their session's."""
    events = [
        (item.positive, event_type, item.item_id, timestamp)
        for history in histories
        for item in history
        for event_type, timestamp in item.types.items()
    ]
    return history_of(sorted(events, key=lambda event: event[3]))

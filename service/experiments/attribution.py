"""What became of recommendations: events that name one are counted for its arm."""

import base64
import hashlib
from collections.abc import Mapping, Sequence

from service.events import CLICK, IMPRESSION, Interaction, SessionInteraction, Sign, sign_of
from service.experiments.ids import DAY_S, Origin, day_name, origin_of
from service.experiments.store import ATTRIBUTE, attributed_keys, field
from service.store.client import EventStore

LAST_POSITION = 20
BEYOND = LAST_POSITION + 1
"""Stands for every position after the last that is counted on its own; 0 for an unknown one."""

_Event = Interaction | SessionInteraction
_MARGIN_S = 60
_ITEM_BYTES = 6


async def attribute(
    store: EventStore,
    catalog: str,
    events: Sequence[_Event],
    signs: Mapping[str, Sign],
    *,
    window_s: int,
    ttl_s: int,
    now_s: int,
) -> list[tuple[Origin, str]]:
    """Counts events for the recommendations that they name; counting them again changes nothing.

    Of equal events (recommendation, type and item) one is counted, whatever their event_ids. So
    events that had been taken before may come again: a client that got no reply sends them again,
    and they are counted then if they were not.

    Args:
        store: the connections.
        catalog: a checked catalog name.
        events: any events; those without a recommendation of ours, or with one older than the
            window, are left out.
        signs: event type to sign.
        window_s: how long after a recommendation an event is attributed to it.
        ttl_s: how long counters are kept.
        now_s: epoch seconds.

    Returns:
        Origin and type of every event that was counted now.

    Raises:
        StoreUnavailable: some event got no reply.
    """
    partitions: dict[str, tuple[list[str], list[str | int], list[tuple[Origin, str]]]] = {}
    for event in events:
        named = event.recommendation_id
        origin = None if named is None else origin_of(named)
        if named is None or origin is None:
            continue
        if not -_MARGIN_S <= now_s - origin.served_s <= window_s:
            continue
        marks, counters = attributed_keys(catalog, named, origin.day)
        keys, arguments, told = partitions.setdefault(counters, ([], [ttl_s], []))
        keys += (marks, counters)
        arguments += (
            field((origin.number, origin.arm), ""),
            origin.served_s + window_s + 2 * _MARGIN_S,
            _kind(event.type, signs),
            event.type,
            _digest(event.item_id),
            _position(event.position),
        )
        told.append((origin, event.type))
    if not partitions:
        return []
    calls = [(keys, arguments) for keys, arguments, _ in partitions.values()]
    replies = await store.call_function(ATTRIBUTE, calls)
    return [
        told
        for (_, _, all_told), reply in zip(partitions.values(), replies, strict=True)
        for told, is_new in zip(all_told, reply, strict=True)
        if is_new
    ]


def days_until(now_s: int, num_days: int) -> list[str]:
    """The UTC days that end with today's."""
    today = now_s // DAY_S
    return [day_name(today - back) for back in range(num_days)]


def _kind(event_type: str, signs: Mapping[str, Sign]) -> str:
    if event_type == IMPRESSION:
        return "shown"
    is_click = event_type == CLICK or sign_of(event_type, signs) == "positive"
    return "clicked" if is_click else "other"


def _position(position: int | None) -> int:
    return min(position or 0, BEYOND)


def _digest(item_id: str) -> str:
    digest = hashlib.blake2b(item_id.encode(), digest_size=_ITEM_BYTES).digest()
    return base64.b64encode(digest).decode()

"""Answers about users."""

from pydantic import BaseModel, JsonValue


class HistoryEntry(BaseModel):
    """The newest event of one type with one item; `positive` is false for what is never shown."""

    item_id: str
    type: str
    positive: bool
    timestamp: int


class WaitingEvent(BaseModel):
    """An event as it was sent; the time is epoch ms."""

    event_id: str
    user_id: str
    item_id: str
    type: str
    value: float
    timestamp: int
    recommendation_id: str | None
    position: int | None
    context: dict[str, JsonValue] | None


class UserData(BaseModel):
    """What the service knows of a user.

    `history` is what personalises answers, `waiting_events` what the event log has not yet,
    `trained_items` what `model_version` learned from, null where it does not know the user.
    """

    user_id: str
    catalog: str
    history: list[HistoryEntry]
    waiting_events: list[WaitingEvent]
    model_version: str | None
    trained_items: list[str] | None


class UserErased(BaseModel):
    """What went at once; the event log follows when it is drained, the model when it is retrained.

    `erased_at` is epoch ms.
    """

    user_id: str
    catalog: str
    erased_at: int
    history: int
    waiting_events: int

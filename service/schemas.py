"""Bodies of responses, for the OpenAPI document; the routes write them directly."""

from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, JsonValue


class Problem(BaseModel):
    """RFC 9457 problem details; `errors` has the single faults."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[dict[str, int | str]] = []
    request_id: str | None = None


class RecommendedItem(BaseModel):
    """`score` is the model's, or the popularity when `source` is popular."""

    item_id: str
    score: float
    rank: int
    source: Literal["model", "popular"]
    metadata: dict[str, JsonValue] | None = None


class RecommendResponse(BaseModel):
    """`degraded` means that the latest interactions could not be read."""

    user_id: str
    recommendation_id: str
    model_version: str
    catalog: str
    items: list[RecommendedItem]
    next_cursor: str | None = None
    degraded: bool
    took_ms: float


class RejectedEvent(BaseModel):
    """An event that was not taken; `index` counts from 0."""

    index: int
    error: str


class EventResult(BaseModel):
    """What became of one event that was valid."""

    index: int
    event_id: str
    status: Literal["accepted", "duplicate"]


class IngestResponse(BaseModel):
    """`results` comes with `results=true` only."""

    accepted: int
    duplicates: int
    rejected: list[RejectedEvent]
    results: list[EventResult] | None = None


# Any: FastAPI takes free-form OpenAPI fragments.
def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entry of each status: a problem."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }

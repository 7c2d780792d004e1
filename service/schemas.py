"""Bodies of responses, for the OpenAPI document; the routes write them directly."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from service.events import Identifier


class Problem(BaseModel):
    """RFC 9457 problem details; `errors` has the single faults."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[dict[str, int | str]] = []
    request_id: str | None = None


class ModalityPart(BaseModel):
    """What a modality added to a member's score; null is what depends on none, such as item ids.

    `share` is its size as a fraction of the sizes of all the member's modalities.
    """

    modality: str | None
    score: float
    share: float


class ScorePart(BaseModel):
    """What one member of the ensemble, popularity or the boosts added to a score.

    `share` is its size as a fraction of all parts' sizes. `modalities` are there where the member
    keeps them apart; most models mix them before there is a score.
    """

    name: str
    score: float
    share: float
    modalities: list[ModalityPart] | None = None


class Reason(BaseModel):
    """Why an item comes.

    `interacted`: because the user had to do with `item_id`, which the models find alike.
    `similar`: in `modality` it is strikingly alike to the user's `item_id`.
    `popular`: it has this `place` among the items whose `field` is `value`; or it just is popular.
    """

    kind: Literal["interacted", "similar", "popular"]
    item_id: str | None = None
    modality: str | None = None
    similarity: float | None = None
    field: str | None = None
    value: str | None = None
    place: int | None = None


class RecommendedItem(BaseModel):
    """`score` is the model's, or the popularity when `source` is popular; boosts are in it.

    `score_parts` and `reasons` come with `explain` only.
    """

    item_id: str
    score: float
    rank: int
    source: Literal["model", "popular"]
    score_parts: list[ScorePart] | None = None
    reasons: list[Reason] | None = None
    metadata: dict[str, JsonValue] | None = None


class Answer(BaseModel):
    """`degraded` means that the latest interactions could not be read.

    `user_id` is null where a session was served, which `session_id` names. `next_cursor` is null
    unless a cursor was sent and there is more. `experiment` and `arm` are there for those in one.
    Events that name the `recommendation_id` are counted for this answer.
    """

    user_id: str | None
    session_id: str | None = None
    recommendation_id: str
    experiment: str | None = None
    arm: str | None = None
    model_version: str
    catalog: str
    items: list[RecommendedItem]
    next_cursor: str | None = None
    degraded: bool


class RecommendResponse(Answer):
    """One answer."""

    took_ms: float


class BatchResponse(BaseModel):
    """One answer per user, in the order of the request."""

    model_version: str
    catalog: str
    results: list[Answer]
    took_ms: float


class ListedItem(BaseModel):
    """`score` is the popularity or the similarity."""

    item_id: str
    score: float
    rank: int
    metadata: dict[str, JsonValue] | None = None


class PopularResponse(BaseModel):
    """`as_of` is the newest day in the data; null where nothing has a time."""

    model_version: str
    catalog: str
    as_of: str | None
    items: list[ListedItem]
    took_ms: float


class SimilarResponse(BaseModel):
    """`by` is what the items were compared by."""

    item_id: str
    by: str
    model_version: str
    catalog: str
    items: list[ListedItem]
    took_ms: float


class RejectedEvent(BaseModel):
    """An event that was not taken; `index` counts from 0."""

    index: int
    error: str


class EventResult(BaseModel):
    """What became of one event; a rejected one has an `error` and no `event_id`."""

    index: int
    event_id: str | None = None
    status: Literal["accepted", "duplicate", "rejected"]
    error: str | None = None


class IngestResponse(BaseModel):
    """`results` comes with `results=true` only."""

    accepted: int
    duplicates: int
    rejected: list[RejectedEvent]
    results: list[EventResult] | None = None


Features = dict[str, list[float]]
Texts = dict[str, Annotated[str, Field(max_length=100_000)]]


class ItemState(BaseModel):
    """All that is said of an item: vectors or texts by modality, metadata by field."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"metadata": {}, "features": {}, "hidden": False}},
    )

    metadata: dict[str, JsonValue] = {}
    features: Features = {}
    texts: Texts = {}
    hidden: bool = False


class ItemPatch(BaseModel):
    """What changes; a field of the metadata is emptied with null."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"hidden": True}})

    metadata: dict[str, JsonValue] | None = None
    features: Features | None = None
    texts: Texts | None = None
    hidden: bool | None = None


class ItemResponse(BaseModel):
    """`recommendable` says that it can come in lists, `trained` that the version learned it."""

    item_id: str
    recommendable: bool
    trained: bool
    hidden: bool
    metadata: dict[str, JsonValue]


class CapacityResponse(BaseModel):
    """Bytes by what they are for, in Redis and in the service; all are estimates.

    `service_bytes` are those of all workers, with two versions, as while one replaces another.
    """

    catalog: str
    users: int
    items: int
    width: int
    redis: Mapping[str, int]
    once: Mapping[str, int]
    per_version: Mapping[str, int]
    per_worker: Mapping[str, int]
    workers: int
    redis_bytes: int
    service_bytes: int


class LoginRequest(BaseModel):
    """Who the person behind a session is."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"session_id": "s1", "user_id": "u1"}}
    )

    session_id: Identifier
    user_id: Identifier


class LoginResponse(BaseModel):
    """`joined` counts the events that became the user's."""

    user_id: str
    joined: int


# Any: FastAPI takes free-form OpenAPI fragments.
def answer_example(example: dict[str, Any], status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entry of an answer in JSON: what one is like."""
    return {status: {"content": {"application/json": {"example": example}}}}


# Any: FastAPI takes free-form OpenAPI fragments.
def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entry of each status: a problem."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }

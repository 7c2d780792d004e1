"""POST /interactions."""

import time
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from service.errors import StoreFull, StoreUnavailable
from service.events import Interaction, SessionInteraction
from service.ingest import Batch, EventRules, read_batch
from service.routes.ingest_options import PARAMETERS, IngestOptions, read_body
from service.routes.lean import LeanRoute
from service.schemas import IngestResponse, answer_example, problem_responses
from service.state import ServiceState, state_of
from service.store.taking import take

_EXAMPLE_EVENT = {
    "event_id": "0b0f6f0e-4b5a-4f0e-9d57-0f6f7f6f7c11",
    "user_id": "u1",
    "item_id": "i42",
    "type": "view",
    "value": 1.0,
    "timestamp": "2026-01-31T12:00:00Z",
}
_EXAMPLES = {
    "one": {"summary": "One event", "value": _EXAMPLE_EVENT},
    "smallest": {"summary": "The smallest event", "value": {"user_id": "u1", "item_id": "i42"}},
    "session": {
        "summary": "An event of an anonymous session",
        "value": {"session_id": "s1", "item_id": "i42"},
    },
    "array": {"summary": "An array", "value": [_EXAMPLE_EVENT]},
    "batch": {"summary": "A batch", "value": {"events": [_EXAMPLE_EVENT]}},
}
_EVENT_SCHEMA = {"anyOf": [Interaction.model_json_schema(), SessionInteraction.model_json_schema()]}
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "anyOf": [
                    _EVENT_SCHEMA,
                    {"type": "array", "items": _EVENT_SCHEMA},
                    {
                        "type": "object",
                        "properties": {"events": {"type": "array", "items": _EVENT_SCHEMA}},
                        "required": ["events"],
                        "additionalProperties": False,
                    },
                ]
            },
            "examples": _EXAMPLES,
        },
        "application/x-ndjson": {
            "schema": {"type": "string"},
            "example": '{"user_id": "u1", "item_id": "i42"}\n{"user_id": "u2", "item_id": "i7"}\n',
        },
    },
}
_EXAMPLE_RESPONSE = {
    "accepted": 1,
    "duplicates": 0,
    "rejected": [{"index": 1, "error": "item_id: Field required"}],
}

router = APIRouter(tags=["interactions"], route_class=LeanRoute)


@router.post(
    "/interactions",
    status_code=202,
    summary="Take interactions",
    response_model=IngestResponse,
    responses={
        **answer_example(_EXAMPLE_RESPONSE, status=202),
        **problem_responses(400, 404, 413, 415, 422, 501, 503),
    },
    openapi_extra={"requestBody": _BODY, "parameters": PARAMETERS},
)
async def take_interactions(request: Request) -> Response:
    """Takes one event, an array, `{"events": [...]}` or NDJSON.

    The answer comes after Redis replied, so what is accepted is kept. An `event_id` (or an
    `Idempotency-Key` header) makes sending again harmless. Valid events of a batch are taken even
    when others are rejected; when none is valid the answer is 422.

    When more events wait to be drained than `MUTUALREC_MAX_WAITING_EVENTS`, the answer is 503 with
    `Retry-After` and lists the events that were not taken.

    An event of someone who has not logged in has a `session_id` instead of the `user_id`. One with
    both says that the session is the user's, and what it did joins their history.
    """
    state = state_of(request)
    options = IngestOptions.of(request)
    name = state.catalogs.require_known(options.catalog)
    rules = _rules(state, name)
    batch = read_batch(
        await read_body(request),
        options.content_type,
        rules=rules,
        now_ms=time.time_ns() // 1_000_000,
        max_events=state.settings.max_batch_events,
        content_encoding=options.content_encoding,
        idempotency_key=options.idempotency_key,
        sent_at=options.sent_at,
    )
    if state.store is None or state.sessions is None:
        raise StoreUnavailable(
            "no event store is configured; start with `mutualrec serve` or set MUTUALREC_REDIS_URL",
            retry_after_s=60,
        )
    try:
        taken = await take(
            state.store, state.sessions, name, batch.events, rules.types, sync=options.sync
        )
    except StoreFull as error:
        refused = [batch.indices[place] for place in error.refused]
        raise StoreFull(refused, error.num_events, retry_after_s=error.retry_after_s) from error
    await state.experiments.attribute(name, batch.events, rules.types)
    content = _content(batch, taken, with_results=options.results)
    for outcome, count in (
        ("accepted", content["accepted"]),
        ("duplicate", content["duplicates"]),
        ("rejected", len(batch.rejected)),
    ):
        if count:
            state.metrics.count_events(name, outcome, count)
    return Response(orjson.dumps(content), 202, media_type="application/json")


def _rules(state: ServiceState, catalog: str) -> EventRules:
    snapshot = state.catalogs.snapshots.get(catalog)
    if snapshot is None:
        return EventRules({})
    return EventRules(snapshot.event_types, snapshot.default_event_type)


# Any: JSON.
def _content(batch: Batch, taken: list[bool], *, with_results: bool) -> dict[str, Any]:
    accepted = sum(taken)
    content: dict[str, Any] = {
        "accepted": accepted,
        "duplicates": len(taken) - accepted,
        "rejected": list(batch.rejected),
    }
    if with_results:
        results: list[dict[str, Any]] = [
            {
                "index": index,
                "event_id": event.event_id,
                "status": "accepted" if is_new else "duplicate",
            }
            for index, event, is_new in zip(batch.indices, batch.events, taken, strict=True)
        ]
        results += [{**fault, "status": "rejected"} for fault in batch.rejected]
        content["results"] = sorted(results, key=lambda result: int(result["index"]))
    return content

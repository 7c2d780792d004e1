"""What the methods of the client ask for: lists, interactions, sessions, items."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar, cast

from pydantic import JsonValue

from mutualrec.client.call import Call, Query, checked_id, encoded, path_of
from mutualrec.client.events import Event, array
from mutualrec.client.options import (
    BatchOptions,
    InCatalog,
    ListOptions,
    PopularOptions,
    SendOptions,
    SimilarOptions,
    UserOptions,
    body_of,
    checked,
)
from service.erasure.schemas import UserData, UserErased
from service.schemas import (
    BatchResponse,
    IngestResponse,
    ItemResponse,
    LoginResponse,
    PopularResponse,
    RecommendResponse,
    SimilarResponse,
)

T = TypeVar("T")
Metadata = Mapping[str, JsonValue]
Features = Mapping[str, Sequence[float]]
Texts = Mapping[str, str]


def get(route: str, answer: type[T], options: Mapping[str, object], known: type) -> Call[T]:
    """Reads something; `known` names the options there are."""
    query = cast(Query, checked(options, known))
    return Call("GET", route, answer, query)


def recommend(
    user_id: str, options: Mapping[str, object], cursor: str | None = None
) -> Call[RecommendResponse]:
    """GET /recommend/{user_id}; an empty cursor is for the first page."""
    query = checked(options, UserOptions) | {"cursor": cursor}
    route = "/v1/recommend" + path_of(user_id)
    return Call("GET", route, RecommendResponse, cast(Query, query))


def recommend_session(
    session_id: str, options: Mapping[str, object], cursor: str | None = None
) -> Call[RecommendResponse]:
    """GET /recommend."""
    query = checked(options, ListOptions) | {"cursor": cursor, "session_id": checked_id(session_id)}
    return Call("GET", "/v1/recommend", RecommendResponse, cast(Query, query))


def recommend_many(users: Sequence[str], options: Mapping[str, object]) -> Call[BatchResponse]:
    """POST /recommend."""
    given = checked(options, BatchOptions)
    catalog = given.pop("catalog", None)
    body = body_of(given) | {"users": [checked_id(user) for user in users]}
    return Call(
        "POST",
        "/v1/recommend",
        BatchResponse,
        cast(Query, {"catalog": catalog}),
        encoded(body),
    )


def popular(options: Mapping[str, object]) -> Call[PopularResponse]:
    """GET /popular."""
    return get("/v1/popular", PopularResponse, options, PopularOptions)


def similar(item_id: str, options: Mapping[str, object]) -> Call[SimilarResponse]:
    """GET /similar/{item_id}."""
    return get("/v1/similar" + path_of(item_id), SimilarResponse, options, SimilarOptions)


def send(body: bytes, content_type: str, options: Mapping[str, object]) -> Call[IngestResponse]:
    """POST /interactions; every event of the body has its id, so sending it again is harmless."""
    query = checked(options, SendOptions)
    headers = {"Content-Type": content_type}
    if query.pop("clock_may_be_wrong", False):
        headers["Sent-At"] = datetime.now(UTC).isoformat()
    return Call(
        "POST",
        "/v1/interactions",
        IngestResponse,
        cast(Query, query),
        body,
        headers,
        status=202,
    )


def post_interaction(event: Event, options: Mapping[str, object]) -> Call[IngestResponse]:
    """One event."""
    return send(event.json(), "application/json", options)


def post_interactions(
    events: Sequence[Event], options: Mapping[str, object]
) -> Call[IngestResponse]:
    """An array."""
    return send(array(events), "application/json", options)


def log_in(session_id: str, user_id: str, options: Mapping[str, object]) -> Call[LoginResponse]:
    """POST /sessions/login, which may be repeated."""
    body = {"session_id": checked_id(session_id), "user_id": checked_id(user_id)}
    query = cast(Query, checked(options, InCatalog))
    return Call("POST", "/v1/sessions/login", LoginResponse, query, encoded(body))


def get_item(item_id: str, options: Mapping[str, object]) -> Call[ItemResponse]:
    """GET /items/{item_id}."""
    return get("/v1/items" + path_of(item_id), ItemResponse, options, InCatalog)


def put_item(
    item_id: str, body: Mapping[str, object], options: Mapping[str, object]
) -> Call[ItemResponse]:
    """PUT /items/{item_id}: the same whole state twice is the same state."""
    return _write_item("PUT", item_id, body, options, idempotent=True)


def patch_item(
    item_id: str, body: Mapping[str, object], options: Mapping[str, object]
) -> Call[ItemResponse]:
    """PATCH /items/{item_id}: what others change in between must not be undone by a repetition."""
    return _write_item("PATCH", item_id, body, options, idempotent=False)


def delete_item(item_id: str, options: Mapping[str, object]) -> Call[None]:
    """DELETE /items/{item_id}: a repetition would find nothing and say so."""
    query = cast(Query, checked(options, InCatalog))
    route = "/v1/items" + path_of(item_id)
    return Call("DELETE", route, type(None), query, idempotent=False, status=204)


def export_user(user_id: str, options: Mapping[str, object]) -> Call[UserData]:
    """GET /users/{user_id}."""
    return get("/v1/users" + path_of(user_id), UserData, options, InCatalog)


def erase_user(user_id: str, options: Mapping[str, object]) -> Call[UserErased]:
    """DELETE /users/{user_id}: a repetition finds less, and forgets what came in between."""
    query = cast(Query, checked(options, InCatalog))
    route = "/v1/users" + path_of(user_id)
    return Call("DELETE", route, UserErased, query, idempotent=False)


def _write_item(
    method: str,
    item_id: str,
    body: Mapping[str, object],
    options: Mapping[str, object],
    *,
    idempotent: bool,
) -> Call[ItemResponse]:
    return Call(
        method,
        "/v1/items" + path_of(item_id),
        ItemResponse,
        cast(Query, checked(options, InCatalog)),
        encoded({name: value for name, value in body.items() if value is not None}),
        idempotent=idempotent,
    )

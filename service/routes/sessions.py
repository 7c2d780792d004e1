"""POST /sessions/login."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response

from service.errors import StoreUnavailable
from service.schemas import LoginRequest, LoginResponse, answer_example, problem_responses
from service.state import state_of

router = APIRouter(tags=["sessions"])


@router.post(
    "/sessions/login",
    summary="Say whose session it was",
    response_model=LoginResponse,
    responses={
        **answer_example({"user_id": "u1", "joined": 3}),
        **problem_responses(400, 404, 413, 422, 503),
    },
)
async def log_in(
    request: Request,
    login: LoginRequest,
    catalog: Annotated[str | None, Query(description="By default `default`.")] = None,
) -> Response:
    """Gives everything that a session did to a user, as if the user had done it.

    The next answer to the user counts it. Sending it again is harmless; events that the session
    posts later join at the next login. An interaction with a `user_id` and a `session_id` does the
    same.
    """
    state = state_of(request)
    name = state.catalogs.require_known(catalog)
    if state.sessions is None:
        raise StoreUnavailable(
            "no event store is configured; start with `mutualrec serve` or set MUTUALREC_REDIS_URL",
            retry_after_s=60,
        )
    snapshot = state.catalogs.snapshots.get(name)
    signs = {} if snapshot is None else snapshot.event_types
    joined = await state.sessions.join(name, {login.session_id: login.user_id}, signs)
    content = {"user_id": login.user_id, "joined": joined}
    return Response(orjson.dumps(content), media_type="application/json")

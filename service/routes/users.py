"""GET and DELETE /users/{user_id}."""

from fastapi import APIRouter, Request, Response

from service.erasure.following import catch_up
from service.erasure.schemas import UserData, UserErased
from service.erasure.users import Erasure
from service.errors import StoreUnavailable
from service.routes.ids import path_id
from service.routes.parameters import CatalogQuery
from service.schemas import answer_example, problem_responses
from service.state import ServiceState, state_of

_PATH = "/users/{user_id:opaque}"
_DATA = {
    "user_id": "u1",
    "catalog": "default",
    "history": [{"item_id": "i42", "type": "buy", "positive": True, "timestamp": 1767355200000}],
    "waiting_events": [],
    "model_version": "20260102T120000Z-0a1b2c3d",
    "trained_items": ["i7", "i9"],
}
_ERASED = {
    "user_id": "u1",
    "catalog": "default",
    "erased_at": 1767355200000,
    "history": 1,
    "waiting_events": 0,
}

router = APIRouter(tags=["users"])


@router.get(
    _PATH,
    summary="Export a user",
    response_model=UserData,
    responses={
        **answer_example(_DATA),
        **problem_responses(400, 404, 422, 503),
    },
)
async def read_user(
    request: Request,
    user_id: str,  # noqa: ARG001  # documented here, read from the raw path
    catalog: CatalogQuery = None,
) -> Response:
    """What the service knows of a user; an unknown user has empty lists.

    The event log lies where training runs: `mutualrec users export` adds it.
    """
    state, user = state_of(request), path_id(request, b"/users/", "user")
    name = state.catalogs.require_known(catalog)
    erasure = _erasure(state)
    history = await erasure.history(name, user)
    waiting = await erasure.waiting_events(name, user)
    await catch_up(state, name)
    snapshot = state.catalogs.snapshots.get(name)
    trained = None if snapshot is None else snapshot.trained_items(user)
    data = UserData(
        user_id=user,
        catalog=name,
        history=history,
        waiting_events=waiting,
        model_version=None if snapshot is None else snapshot.version,
        trained_items=trained,
    )
    return Response(data.model_dump_json(), media_type="application/json")


@router.delete(
    _PATH,
    summary="Erase a user",
    response_model=UserErased,
    responses={
        **answer_example(_ERASED),
        **problem_responses(400, 404, 422, 503),
    },
)
async def erase_user(
    request: Request,
    user_id: str,  # noqa: ARG001  # documented here, read from the raw path
    catalog: CatalogQuery = None,
) -> Response:
    """Forgets everything up to now; sending it again is harmless.

    History and waiting events go at once, the event log when it is drained. What versions learned
    of the user is not used any more from now on, and the next version does not know them. Events
    sent afterwards are those of a new user.
    """
    state, user = state_of(request), path_id(request, b"/users/", "user")
    name = state.catalogs.require_known(catalog)
    removed = await _erasure(state).erase_user(name, user)
    await catch_up(state, name)
    content = UserErased(
        user_id=user,
        catalog=name,
        erased_at=removed.at_ms,
        history=removed.history,
        waiting_events=removed.waiting_events,
    )
    return Response(content.model_dump_json(), media_type="application/json")


def _erasure(state: ServiceState) -> Erasure:
    if state.store is None:
        raise StoreUnavailable(
            "no event store is configured; start with `mutualrec serve` or set MUTUALREC_REDIS_URL",
            retry_after_s=60,
        )
    return Erasure(state.store)

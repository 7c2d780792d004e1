"""Which routes there are, and how their queries are read."""

import asyncio

import pytest
from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.routes.lean import LeanRoute, LeanRoutes


@pytest.mark.parametrize("path", ["/recommend/u1", "/v1/recommend/u1", "/v1/health/live"])
def test_every_path_also_answers_under_v1(start, deploy, path) -> None:
    deploy()
    assert start().get(path).status_code == 200


@pytest.mark.parametrize("path", ["/v1v1/health/live", "/v1/v1/health/live", "/v2/health/live"])
def test_nothing_answers_under_another_prefix(start, path) -> None:
    assert start().get(path).status_code == 404


def test_a_user_may_be_called_like_the_prefix(start, deploy) -> None:
    deploy()
    assert start().get("/v1/recommend/v1%2Frecommend%2Fu1").json()["user_id"] == "v1/recommend/u1"


def test_two_applications_have_routes_of_their_own(start, deploy) -> None:
    deploy()
    first, second = start(), start()
    assert first.get("/v1/recommend/u1").status_code == 200
    assert second.get("/v1/recommend/u1").status_code == 200


def test_a_wrong_query_names_every_wrong_parameter(start, deploy) -> None:
    deploy()
    answer = start().get("/recommend/u1?k=0&diversity=2&explain=perhaps")
    assert answer.status_code == 422
    places = {fault["location"] for fault in answer.json()["errors"]}
    assert places == {"query.k", "query.diversity", "query.explain"}


def test_of_a_repeated_parameter_the_last_counts_and_unknown_ones_are_ignored(
    start, deploy
) -> None:
    deploy()
    items = start().get("/recommend/u1?k=5&k=2&utm_source=mail").json()["items"]
    assert len(items) == 2


def test_a_session_needs_an_id(start, deploy) -> None:
    deploy()
    answer = start().get("/recommend")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["location"] == "query.session_id"


def ask_lean(endpoint, handlers=None, earlier=(), **changes):
    """Status of the answer, and the paths that got through to the application."""
    passed: list[str] = []
    sent: list[dict] = []

    async def application(scope, _receive, send) -> None:
        passed.append(scope["path"])
        await Response()(scope, _receive, send)

    async def send(message) -> None:
        sent.append(message)

    async def receive() -> dict:
        return {"type": "http.request"}

    routes = [*earlier, LeanRoute("/lean/{user_id:opaque}", endpoint, methods=["GET"])]
    given = {
        "type": "http",
        "method": "GET",
        "path": "/lean/u1",
        "query_string": b"",
        "headers": [],
    }
    app = LeanRoutes(application, routes=routes, handlers=handlers or {})
    asyncio.run(app(given | changes, receive, send))
    return sent[0]["status"], passed


async def created(request: Request) -> Response:  # noqa: ARG001
    return Response(status_code=201)


async def failed(request: Request) -> Response:  # noqa: ARG001
    raise LookupError


@pytest.mark.parametrize(
    ("changes", "status", "passed"),
    [
        ({}, 201, []),
        ({"path": "/other"}, 200, ["/other"]),
        ({"method": "POST"}, 200, ["/lean/u1"]),
        ({"path": "/shop/lean/u1", "root_path": "/shop"}, 200, ["/shop/lean/u1"]),
    ],
    ids=["a lean route", "another path", "another method", "below a root path"],
)
def test_only_what_is_for_a_lean_route_passes_the_framework_by(changes, status, passed) -> None:
    assert ask_lean(created, **changes) == (status, passed)


def test_a_route_that_is_tried_before_a_lean_one_keeps_its_requests() -> None:
    earlier = APIRoute("/lean/u1", created)
    assert ask_lean(failed, earlier=[earlier]) == (200, ["/lean/u1"])


def test_what_a_lean_endpoint_raises_is_answered_by_its_handler() -> None:
    async def handle(_request: Request, _error: Exception) -> Response:
        return Response(status_code=418)

    assert ask_lean(failed, handlers={LookupError: handle}) == (418, [])
    with pytest.raises(LookupError):
        ask_lean(failed)

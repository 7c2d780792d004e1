"""Routes on which every microsecond counts."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from itertools import takewhile
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, ExceptionHandler, Receive, Scope, Send

Endpoint = Callable[[Request, BaseModel], Awaitable[Response]]
BareEndpoint = Callable[[Request], Awaitable[Response]]


class LeanRoute(APIRoute):
    """A route that hands its query over as one model, and nothing else.

    Its endpoint takes ``request`` and ``query: Annotated[SomeModel, Query()]``, or the request
    alone, and may name the path's parameters for the document; they keep their defaults, and the
    endpoint reads them from the request. FastAPI documents such an endpoint like any other. What
    differs is how a request is read: FastAPI takes parameters apart one by one, and keeps stacks of
    contexts for what dependencies and uploads leave open, which costs more than all else that a
    recommendation does in Python; here pydantic checks the query at once, and nothing stays open.
    What is refused, and how, is the same.
    """

    # Any: as FastAPI has it.
    def __init__(self, *arguments: Any, **options: Any) -> None:
        """See `APIRoute`."""
        super().__init__(*arguments, **options)
        self.respond = self.get_route_handler()

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            response = await self.respond(Request(scope, receive, send))
            await response(scope, receive, send)

        self.app = answer

    # Any: as FastAPI has it.
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        if not self.dependant.query_params:
            bare: BareEndpoint = self.endpoint

            async def hand_over(request: Request) -> Response:
                return await bare(request)

            return hand_over
        endpoint: Endpoint = self.endpoint
        [parameter] = self.dependant.query_params
        model: type[BaseModel] = parameter.field_info.annotation  # type: ignore[assignment]
        # Models of queries are frozen, so all requests without one share these.
        default = model.model_validate({}) if _has_defaults(model) else None

        async def handle(request: Request) -> Response:
            text: bytes = request.scope["query_string"]
            if not text and default is not None:
                return await endpoint(request, default)
            given = dict(parse_qsl(text.decode("latin-1"), keep_blank_values=True))
            try:
                query = model.model_validate(given)
            except ValidationError as error:
                faults = error.errors(include_url=False)
                raise RequestValidationError(
                    [{**fault, "loc": ("query", *fault["loc"])} for fault in faults]
                ) from error
            return await endpoint(request, query)

        return handle


class LeanRoutes:
    """Middleware that answers for the application's first routes as long as these are lean.

    What stands before a route in the framework (a handler of exceptions, a stack of what is open,
    two routers) takes as long as many an answer. A request of a lean route passes it by. Whatever
    else comes goes on to the application, and what an endpoint raises is answered as there.
    """

    # Any: keys are kinds of exceptions or statuses.
    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Sequence[BaseRoute],
        handlers: Mapping[Any, ExceptionHandler],
    ) -> None:
        """Wraps `app`.

        Args:
            app: the application.
            routes: all of its routes, in the order in which they are tried.
            handlers: what answers exceptions.
        """
        self._app = app
        leading = takewhile(lambda route: isinstance(route, LeanRoute), routes)
        self._routes = [route for route in leading if isinstance(route, LeanRoute)]
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection event."""
        route = None
        # Below a root path the framework knows where paths begin.
        if scope["type"] == "http" and not scope.get("root_path"):
            route = self._route(scope["method"], scope["path"])
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        response: ASGIApp
        try:
            response = await route.respond(Request(scope, receive, send))
        except Exception as error:
            response = _Raised(error, self._handlers)
        await response(scope, receive, send)

    def _route(self, method: str, path: str) -> LeanRoute | None:
        for route in self._routes:
            if route.methods and method in route.methods and route.path_regex.match(path):
                return route
        return None


class _Raised:
    """The answer to an exception that an endpoint raised before anything was sent."""

    # Any: as above.
    def __init__(self, error: Exception, handlers: Mapping[Any, ExceptionHandler]) -> None:
        self._error = error
        self._answer = ExceptionMiddleware(self._raise, handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope, receive, send)

    async def _raise(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        raise self._error


def _has_defaults(model: type[BaseModel]) -> bool:
    return not any(field.is_required() for field in model.model_fields.values())

"""Routes on which every microsecond counts."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope, Send

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
        handle = self.get_route_handler()

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            response = await handle(Request(scope, receive, send))
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


def _has_defaults(model: type[BaseModel]) -> bool:
    return not any(field.is_required() for field in model.model_fields.values())
